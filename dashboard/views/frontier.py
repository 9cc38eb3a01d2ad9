"""The Frontier page: the trade-off at a glance, the picked point's numbers, every metric against the ratio."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from dashboard import charts, markup, queries, state
from dashboard.frame import Frame, current
from dashboard.inert import csv_bytes
from dashboard.measures import BY_NAME, X_DEFAULT, Y_DEFAULT, Measure, present
from dashboard.source import ask, updated
from dashboard.standing import Standing, curves, spots

PANEL = (
    "safety",
    "harmful_refusal_rate",
    "violation_rate",
    "refusal_f1",
    "over_refusal_rate",
    "borderline_answer_rate",
    "usefulness",
    "benign_answer_rate",
)
"""Metrics of the picked point's table."""
COLUMNS = 4


def page() -> None:
    """Draw the page."""
    frame = current()
    standing = Standing(ask(queries.estimates, frame.study.study_id, frame.judge.judge_id, "all", "all"))
    measures = present(standing.metrics())
    _strip(frame)
    if len(measures) < 2:
        st.html(markup.note(frame.words("frontier.no_metrics")))
        st.code("mergescope eval RECIPE", language=None)
        return
    chart, panel = st.columns([1.72, 1], gap="medium")
    with panel:
        picked = _panel(frame, standing, measures)
    with chart:
        _chart(frame, standing, measures, picked)
    _curves(frame, standing, measures, picked)


def _strip(frame: Frame) -> None:
    word = frame.words
    counts = ask(queries.overview, frame.study.study_id, frame.judge.judge_id)
    unscored = sum(counts.unscored.values())
    kinds = ", ".join(f"{word.maybe(f'error.{kind}', kind)} {n:,}" for kind, n in counts.unscored.items())
    ratios = word("strip.ratios") if counts.mask_seeds == 1 else word("strip.ratios_seeds", seeds=counts.mask_seeds)
    trust = word("strip.proxy") if frame.judge.kind == "proxy" else word.maybe(f"trust.{frame.judge.trust}", "")
    items = [
        (f"{counts.ratios:,}", ratios),
        (f"{counts.prompts:,}", word("strip.prompts")),
        (f"{counts.judged:,}", word("strip.judged")),
        (f"{unscored:,}", word("strip.unscored_kinds", kinds=kinds) if unscored else word("strip.unscored")),
        (frame.judge.name, f"{word('strip.judge')} · {trust}"),
    ]
    st.html(markup.strip(items, word("strip.updated", when=_local(updated()))))


def _local(moment: datetime) -> str:
    offset = st.context.timezone_offset  # minutes that UTC is ahead of the browser's clock
    local = moment.timestamp() - 60 * (offset or 0)
    return datetime.fromtimestamp(local, moment.tzinfo).strftime("%H:%M:%S")


def _chart(frame: Frame, standing: Standing, measures: list[Measure], picked: str) -> None:
    word = frame.words
    x, y = _axes(frame, measures)
    titles = (word(f"metric.{x.name}"), word(f"metric.{y.name}"))
    names = [frame.name(c.handle) for c in frame.checkpoints]
    found = spots(standing, frame.checkpoints, names, x, y, titles)
    figure = charts.frontier(
        found,
        x_title=_with_unit(titles[0], x),
        y_title=_with_unit(titles[1], y),
        picked=picked,
        mixing=word("frontier.mixing"),
        colours=frame.colours,
    )
    _clickable(figure, "frontier_chart", word("frontier.chart"))


def _axes(frame: Frame, measures: list[Measure]) -> tuple[Measure, Measure]:
    names = [measure.name for measure in measures]
    word = frame.words
    left, middle, right = st.columns([1, 1, 1.5], vertical_alignment="bottom")
    with left:
        x = _axis("x", word("axis.x"), names, X_DEFAULT if X_DEFAULT in names else names[0], frame)
    with middle:
        y = _axis("y", word("axis.y"), names, Y_DEFAULT if Y_DEFAULT in names else names[-1], frame)
    with right:
        st.html(f'<div style="text-align:right">{markup.note(word("frontier.key"))}</div>')
    return BY_NAME[x], BY_NAME[y]


def _axis(name: str, label: str, names: list[str], default: str, frame: Frame) -> str:
    return state.select(name, label, names, default, lambda metric: frame.words(f"metric.{metric}"))


def _panel(frame: Frame, standing: Standing, measures: list[Measure]) -> str:
    """The picked point's numbers; returns its handle."""
    word = frame.words
    handles = [c.handle for c in frame.checkpoints]
    with st.container(border=True):
        left, right = st.columns(2)
        with left:
            picked = state.select("pick", word("frontier.point"), handles, _first_pick(frame), frame.name)
        with right:
            others = [handle for handle in handles if handle != picked]
            baseline = state.select("baseline", word("frontier.baseline"), others, _first_baseline(others), frame.name)
        st.html(_numbers(frame, standing, measures, picked, baseline))
    return picked


def _numbers(frame: Frame, standing: Standing, measures: list[Measure], picked: str, baseline: str) -> str:
    word = frame.words
    del baseline
    point = frame.by_handle(picked)
    rows = []
    for measure in measures:
        if measure.name in PANEL:
            shown = standing.shown(point, measure)
            rows.append([word(f"metric.{measure.name}"), shown.value, shown.interval, ""])
    header = ["", word("frontier.value"), word("frontier.interval"), word("frontier.paired")]
    return markup.table(header, rows, frame.name(picked))


def _curves(frame: Frame, standing: Standing, measures: list[Measure], picked: str) -> None:
    word = frame.words
    st.html(markup.heading(word("frontier.curves")))
    found = [
        curve
        for measure in measures
        if measure.small_multiple
        for curve in curves(standing, frame.points, measure, _with_unit(word(f"metric.{measure.name}"), measure))
    ]
    figure = charts.small_multiples(
        found, picked_ratio=frame.by_handle(picked).ratio, columns=COLUMNS, colours=frame.colours
    )
    _clickable(figure, "curves_chart", word("frontier.curves_chart"))
    _download(frame, standing, measures)


def _download(frame: Frame, standing: Standing, measures: list[Measure]) -> None:
    header = ["checkpoint", "ratio", "mask_seed", "metric", "value", "low", "high", "n", "n_unscored", "worst", "best"]
    rows = [
        [c.label, c.ratio, c.mask_seed, m.name, row.value, row.low, row.high, row.n, row.n_unscored, row.worst, row.best]
        for c in frame.checkpoints
        for m in measures
        if (row := standing.row(c, m))
    ]
    name = f"{frame.study.name}-metrics.csv"
    st.download_button(frame.words("frontier.download"), csv_bytes(header, rows), name, "text/csv", on_click="ignore")


def _clickable(figure: Any, key: str, description: str) -> None:
    st.plotly_chart(
        figure,
        key=key,
        on_select=lambda: _pick(key),
        selection_mode="points",
        config={"displayModeBar": False, "displaylogo": False},
        alt=description,
    )


def _pick(key: str) -> None:
    points = st.session_state[key].selection.points
    if points and points[0].get("customdata"):
        state.remember("pick", str(points[0]["customdata"][0]))


def _first_pick(frame: Frame) -> str:
    return frame.points[len(frame.points) // 2].handle


def _first_baseline(handles: list[str]) -> str:
    return "model-useful" if "model-useful" in handles else handles[-1]


def _with_unit(title: str, measure: Measure) -> str:
    return f"{title} %" if measure.percent else title


page()
