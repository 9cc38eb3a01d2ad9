"""Every metric against the ratio, and the numbers of the page as a file."""

from __future__ import annotations

import functools

import streamlit as st

from dashboard.charts import lines as charts
from dashboard.frontier.chart import clickable, with_unit
from dashboard.frontier.spots import curves
from dashboard.page import images, markup
from dashboard.page.frame import Frame
from dashboard.page.inert import csv_bytes, file_name
from dashboard.points.measures import CURVES, Measure, present
from dashboard.points.standing import Standing

COLUMNS = 3
KEY = "curves_chart"


def small_curves(frame: Frame, standing: Standing, measures: list[Measure], picked: str) -> None:
    """Draw the small charts."""
    word = frame.words
    st.html(markup.heading(word("frontier.curves")))
    found = [
        curve
        for measure in present({measure.name for measure in measures}, CURVES)
        for curve in curves(standing, frame.points, measure, with_unit(word(f"metric.{measure.name}"), measure))
    ]
    figure = charts.small_multiples(
        found, picked_ratio=frame.by_handle(picked).ratio, columns=COLUMNS, colours=frame.colours
    )
    figure.update_layout(paper_bgcolor=frame.colours.background)
    clickable(figure, KEY, word("frontier.curves_chart"))
    images.buttons(frame, KEY, f"{frame.study.name}-curves")


def download(frame: Frame, standing: Standing, measures: list[Measure]) -> None:
    """A button for the CSV of every metric of every checkpoint, made when it is pressed."""
    made = functools.partial(_csv, frame, standing, measures)
    name = file_name(f"{frame.study.name}-metrics.csv")
    st.download_button(frame.words("frontier.download"), made, name, "text/csv", on_click="ignore")


def _csv(frame: Frame, standing: Standing, measures: list[Measure]) -> bytes:
    header = ["checkpoint", "ratio", "mask_seed", "metric", "value", "low", "high", "n", "n_unscored", "worst", "best"]
    rows = [
        [c.label, c.ratio, c.mask_seed, m.name, *(getattr(row, name) for name in header[4:])]
        for c in frame.checkpoints
        for m in measures
        if (row := standing.row(c, m))
    ]
    return csv_bytes(header, rows)
