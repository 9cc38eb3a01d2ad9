"""All points against one baseline, on request: p-values that stand although many are looked at."""

from __future__ import annotations

import streamlit as st

from dashboard.page import markup, rounding, state
from dashboard.page.frame import Frame
from dashboard.points import picks
from dashboard.points.measures import MEASURES
from dashboard.store import evidence
from dashboard.store.source import reckon
from eval.baseline import Against


def all_points(frame: Frame, metrics: list[str], baseline: str) -> None:
    """Draw the switch, and behind it the table. metrics: those that the study has."""
    word = frame.words
    mine = picks.rule_of(frame)
    if mine is None or not state.toggle("all", word("all_points.show")):
        return
    options = [name for name in metrics if name in MEASURES]
    with st.container(key="filters", horizontal=True):
        metric = state.select(
            "all_by", word("all_points.metric"), options, mine.rule.objective, lambda name: word(f"metric.{name}")
        )
    other = frame.by_handle(baseline).checkpoint_id
    points = [c for c in picks.in_order(frame) if c.checkpoint_id != other]
    found = reckon(
        evidence.against,
        frame.study.study_id,
        frame.judge.judge_id,
        metric,
        [c.checkpoint_id for c in points],
        other,
    )
    header = [
        "",
        *(word(f"all_points.{name}") for name in ("difference", "interval", "p", "better", "worse", "p_flips")),
    ]
    rows = [[frame.name(c.handle), *_cells(row, metric)] for c, row in zip(points, found, strict=True)]
    st.html(markup.table(header, rows, word("all_points.title", baseline=frame.name(baseline))))
    st.html(markup.note(word("all_points.note")))


def _cells(row: Against, metric: str) -> list[str]:
    gap, percent = row.difference, MEASURES[metric].percent
    shown = rounding.estimate(gap.value, gap.low, gap.high, percent=percent)
    flips = row.flips
    told = ["—", "—", "—"] if flips is None else [f"{flips.better:,}", f"{flips.worse:,}", rounding.p_value(flips.p)]
    return [shown.value, shown.interval.replace("–", " – "), rounding.p_value(row.p), *told]
