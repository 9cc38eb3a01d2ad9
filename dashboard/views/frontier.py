"""The Frontier page: the trade-off at a glance, the rule, the picked point, every metric against the ratio."""

from __future__ import annotations

import streamlit as st

from dashboard.frontier.all_points import all_points
from dashboard.frontier.chart import chart
from dashboard.frontier.curves import download, small_curves
from dashboard.frontier.point_panel import point_card
from dashboard.frontier.rule_panel import rule_card
from dashboard.frontier.strip import strip
from dashboard.page import markup
from dashboard.page.frame import current
from dashboard.points.measures import present
from dashboard.points.standing import Standing
from dashboard.store import queries
from dashboard.store.source import ask


def page() -> None:
    """Draw the page."""
    frame = current()
    standing = Standing(ask(queries.estimates, frame.study.study_id, frame.judge.judge_id, "all", "all"))
    measures = present(standing.metrics())
    names = [measure.name for measure in measures]
    strip(frame)
    if len(measures) < 2:
        st.html(markup.note(frame.words("frontier.no_metrics")))
        st.code("mergescope eval RECIPE", language=None)
        return
    left, right = st.columns([1.72, 1], gap="medium")
    with right:
        rule_card(frame, names)
        picked, baseline = point_card(frame, standing, measures)
    with left:
        chart(frame, standing, measures, picked)
        small_curves(frame, standing, measures, picked)
        download(frame, standing, measures)
    all_points(frame, names, baseline)


page()
