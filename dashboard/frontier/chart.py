"""The main chart with its choice of axes, colour and a second curve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, Literal

import streamlit as st

from dashboard.charts.frontier import Bound, Overlay, View, frontier
from dashboard.frontier.other_curves import OtherCurve, other_curves
from dashboard.frontier.spots import Axes, spots
from dashboard.page import images, markup, pickers, state
from dashboard.page.frame import Frame
from dashboard.page.inert import escaped
from dashboard.points import picks
from dashboard.points.measures import MEASURES, X_DEFAULT, Y_DEFAULT, Measure
from dashboard.points.rules import plain
from dashboard.points.standing import Standing
from dashboard.store import queries
from dashboard.store.source import ask

RATIO = "ratio"
"""What the colour says unless the reader wants another number."""
KEY = "frontier_chart"


def chart(frame: Frame, standing: Standing, measures: list[Measure], picked: str) -> None:
    """Draw the chart."""
    word = frame.words
    axes, other = _chosen(frame, measures)
    found = spots(standing, frame.checkpoints, lambda c: frame.name(c.handle), axes)
    titles = [with_unit(title, measure) for title, measure in zip(axes.titles, axes.measures, strict=True)]
    best, note = _recommended(frame)
    view = View(
        x_title=titles[0],
        y_title=titles[1],
        level_title=titles[2] if axes.level else "",
        picked=picked,
        recommended=best,
        recommended_note=escaped(note),
        mixing=escaped(word("frontier.mixing")),
        bounds=list(_bounds(frame, axes)),
        overlays=[] if other is None else [_overlay(frame, other, axes)],
    )
    several = len({c.mask_seed for c in frame.points}) > 1
    st.html(markup.note(word("frontier.key_seeds" if several else "frontier.key")))
    if other is not None and not other.comparable:
        st.html(markup.note(word("frontier.other_prompts")))
    clickable(frontier(found, view, frame.colours), KEY, word("frontier.chart"))
    images.buttons(frame, KEY, f"{frame.study.name}-frontier")


def clickable(figure: Any, key: str, description: str) -> None:
    """A figure whose points are picked by a click."""
    pickers.chart(key, description, figure, lambda point: state.remember("pick", str(point[0])), images.CONFIG)


def with_unit(title: str, measure: Measure) -> str:
    """A metric's name with its unit where it is a share."""
    return f"{title} %" if measure.percent else title


def _chosen(frame: Frame, measures: list[Measure]) -> tuple[Axes, OtherCurve | None]:
    names = [measure.name for measure in measures]
    word = frame.words
    others = {one.study_name: one for one in ask(other_curves, frame.study.study_id, frame.judge.judge_id)}
    with st.container(key="axes", horizontal=True, gap="medium", vertical_alignment="center"):
        x = _axis("x", names, _first_of(names, X_DEFAULT, "benign_answer_rate", "usefulness"), frame)
        y = _axis("y", names, _first_of([name for name in names if name != x] or names, Y_DEFAULT), frame)
        level = _axis("colour", [RATIO, *names], RATIO, frame)
        over = _over(frame, others) if others else ""
    chosen = [x, y, *([] if level == RATIO else [level])]
    titles = tuple(word(f"metric.{name}") for name in chosen)
    return Axes(MEASURES[x], MEASURES[y], None if level == RATIO else MEASURES[level], titles), others.get(over)


def _axis(name: str, names: list[str], default: str, frame: Frame) -> str:
    def shown(metric: str) -> str:
        return frame.words("axis.ratio_short" if metric == RATIO else f"metric.{metric}")

    return state.select(name, frame.words(f"axis.{name}"), names, default, shown)


def _over(frame: Frame, others: dict[str, OtherCurve]) -> str:
    word = frame.words

    def shown(name: str) -> str:
        return _name(frame, others[name]) if name else word("axis.nothing")

    return state.select("over", word("axis.over"), ["", *others], "", shown)


def _first_of(names: list[str], *wanted: str) -> str:
    """The first of `wanted` that the study has; else its last metric."""
    return next((name for name in wanted if name in names), names[-1])


def _name(frame: Frame, other: OtherCurve) -> str:
    """`linear: NAME`, `density 1: NAME`, or the study's name."""
    kind = frame.words.maybe(f"frontier.other_{other.kind}", "")
    return f"{kind}: {other.study_name}" if kind else other.study_name


def _overlay(frame: Frame, other: OtherCurve, axes: Axes) -> Overlay:
    standing = Standing(ask(queries.estimates, other.study_id, other.judge_id, "all", "all"))
    points = [c for c in ask(queries.checkpoints, other.study_id) if c.ratio is not None]
    name = _name(frame, other)
    return Overlay(escaped(name, 60), spots(standing, points, lambda c: f"{name} · {c.label}", axes))


def _recommended(frame: Frame) -> tuple[str, str]:
    """Handle of the recommended point and the words behind its label; both empty where there is none."""
    found = picks.recommended(frame)
    if found is None or found.best is None:
        return "", ""
    return next(c.handle for c in frame.points if c.checkpoint_id == found.best), frame.words("rule.on_chart")


def _bounds(frame: Frame, axes: Axes) -> Iterator[Bound]:
    """The rule's constraints on the metrics of the axes."""
    mine = picks.rule_of(frame)
    places: Sequence[tuple[Literal["x", "y"], Measure]] = (("x", axes.x), ("y", axes.y))
    for constraint in mine.rule.constraints if mine else ():
        for axis, measure in places:
            if constraint.metric == measure.name and not constraint.in_worst_category:
                value = constraint.value * (100 if measure.percent else 1)
                yield Bound(axis, float(value), escaped(_bound_text(frame, measure, constraint.op, value)))


def _bound_text(frame: Frame, measure: Measure, op: str, value: Decimal) -> str:
    sign = "≥" if op == ">=" else "≤"
    unit = " %" if measure.percent else ""
    return frame.words("rule.bound", text=f"{frame.words(f'metric.{measure.name}')} {sign} {plain(value)}{unit}")
