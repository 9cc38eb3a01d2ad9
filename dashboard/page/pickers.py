"""Charts and strips that can be clicked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import streamlit as st

from dashboard.page.components import component


@dataclass(frozen=True, slots=True)
class StripCell:
    """One checkpoint on the ratio strip."""

    id: str
    label: str
    tone: str
    hint: str
    shown: bool
    """Whether its answer is among the cards."""
    run: str = ""
    """Name of the row that it stands in, such as `mask seed 1`; cells of one row follow each other."""


def chart(
    key: str,
    title: str,
    figure: Any,
    on_pick: Callable[[list[Any]], None],
    config: Mapping[str, Any] = MappingProxyType({"displayModeBar": False}),
) -> None:
    """A figure; `on_pick` gets the `customdata` of a clicked point before the page runs again. config: Plotly's."""

    def picked() -> None:
        points = st.session_state[key].selection.points
        if points and points[0].get("customdata"):
            on_pick(list(points[0]["customdata"]))

    st.plotly_chart(figure, key=key, on_select=picked, selection_mode="points", config=dict(config), alt=title)


def strip(key: str, cells: Sequence[StripCell], on_pick: Callable[[str], None]) -> bool:
    """One prompt at every checkpoint; `on_pick` gets the id of a picked cell before the page runs again."""

    def picked() -> None:
        value = st.session_state[key].picked
        if value is not None:
            on_pick(str(value))

    data = {"cells": [asdict(cell) for cell in cells]}
    return _STRIP(key=key, data=data, on_picked_change=picked).picked is not None


_STRIP = component("strip")
