"""Figures as plain values: Streamlit sends the same chart as for one of plotly's, and looking in checks them."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.charts import drawing


def _page() -> None:
    from tests.dashboard.test_drawing import show

    show()


def drawn(kind: Any) -> Any:
    trace = kind.Scatter(
        x=[0, 1], y=[2, None], mode="lines", line={"color": "#123456", "width": 2}, customdata=[["a"], ["b"]]
    )
    trace.update({"xaxis": "x2"}, line={"dash": "dot"})
    return kind.Figure(
        data=[trace], layout={"height": 80, "paper_bgcolor": "rgba(0,0,0,0)", "xaxis2": {"range": [0, 1]}}
    )


def show() -> None:
    for kind in (drawing, go):
        st.plotly_chart(drawn(kind), key=kind.__name__, on_select="rerun", alt="a line")


def test_streamlit_sends_what_it_sends_of_plotlys_own() -> None:
    page = AppTest.from_function(_page).run()
    assert not page.exception
    own, plotlys = (json.loads(chart.proto.spec) for chart in page.get("plotly_chart"))
    assert own == plotlys


def test_looking_in_checks_every_property() -> None:
    assert drawn(drawing).data[0].line.dash == "dot"
    with pytest.raises(ValueError, match="Invalid property"):
        _ = drawing.Figure(data=[drawing.Scatter(colour="red")]).data
    with pytest.raises(ValueError, match="Invalid property"):
        _ = drawing.Figure(layout={"hight": 3}).layout


def test_what_is_not_named_stays() -> None:
    figure = drawing.Figure(drawing.Scatter(x=[1], y=[1]), layout={"xaxis": {"title": {"text": "a"}}})
    figure.update_layout(height=50).update_xaxes(side="top")
    assert (figure.layout.height, figure.layout.xaxis.side, figure.layout.xaxis.title.text) == (50, "top", "a")
