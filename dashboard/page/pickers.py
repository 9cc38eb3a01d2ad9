"""Charts, tables and strips that can be clicked; the latter are small components that set all data as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import streamlit as st

_PARTS = Path(__file__).parents[1] / "parts"


@dataclass(frozen=True, slots=True)
class PickCell:
    """One cell of a row."""

    text: str
    tone: str = ""
    """Name of a verdict, drawn as a chip; empty for plain text."""
    hint: str = ""
    """Shown when the pointer rests on it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and width."""

    name: str
    width: str = "auto"
    """As CSS; `auto` takes what the others leave."""


@dataclass(frozen=True, slots=True)
class PickRow:
    """One row that can be picked."""

    id: str
    cells: tuple[PickCell, ...]


@dataclass(frozen=True, slots=True)
class StripCell:
    """One checkpoint on the ratio strip."""

    id: str
    label: str
    tone: str
    hint: str
    shown: bool
    """Whether its answer is among the cards."""
    apart: bool = False
    """A gap before it: the first of the references."""


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


def rows(
    key: str,
    title: str,
    columns: Sequence[Column],
    lines: Sequence[PickRow],
    selected: str,
    *,
    height: str,
    keys: bool,
    on_pick: Callable[[str], None],
) -> bool:
    """A table of rows; `on_pick` gets the id of a picked row before the page runs again.

    Returns whether a row was picked just now. `keys` lets J and K step through the rows.
    """
    data = {
        "title": title,
        "columns": [asdict(column) for column in columns],
        "rows": [
            {"id": line.id, "cells": [{"text": c.text, "tone": c.tone, "hint": c.hint} for c in line.cells]}
            for line in lines  # `asdict` copies every value and takes ten times as long
        ],
        "selected": selected,
        "height": height,
        "keys": keys,
    }
    return _mounted("rows", key, data, on_pick)


def strip(key: str, cells: Sequence[StripCell], on_pick: Callable[[str], None]) -> bool:
    """One prompt at every checkpoint; `on_pick` gets the id of a picked cell before the page runs again."""
    return _mounted("strip", key, {"cells": [asdict(cell) for cell in cells]}, on_pick)


def _mounted(name: str, key: str, data: dict[str, Any], on_pick: Callable[[str], None]) -> bool:
    def picked() -> None:
        value = st.session_state[key].picked
        if value is not None:
            on_pick(str(value))

    return RENDER[name](key=key, data=data, on_picked_change=picked).picked is not None


def component(name: str, styles: Sequence[str] = (), holder: str = "") -> Any:
    """The component of parts/NAME.js. styles: names of its style sheets beside `tones`, and holder: the class of the
    element that it fills; both are its own name where nothing else is said.
    """
    files = ("tones.css", *(f"{style}.css" for style in styles or [name]))
    css = "\n".join((_PARTS / file).read_text(encoding="utf-8") for file in files)
    js = (_PARTS / f"{name}.js").read_text(encoding="utf-8")
    return st.components.v2.component(
        f"mergescope_{name}", html=f'<div class="{holder or name}"></div>', css=css, js=js
    )


RENDER = {name: component(name) for name in ("rows", "strip", "rating")}
"""The components by name; each calls back with what was `picked`."""
