"""Tables whose rows can be opened and ticked, and whose cells may be strips of colours; text is always set as text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from dashboard.page.components import component


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and width."""

    name: str
    width: str = "auto"
    """As CSS; `auto` takes what the others leave."""


@dataclass(frozen=True, slots=True)
class SheetCell:
    """One cell."""

    text: str
    tone: str = ""
    """Name of a verdict, drawn as a chip; empty for plain text."""
    hint: str = ""
    """Shown when the pointer rests on it."""
    strip: tuple[str, ...] = ()
    """Names of verdicts, drawn as a strip of boxes in place of the text, which is then read out."""


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row."""

    id: str
    cells: tuple[SheetCell, ...]


def sheet(
    key: str,
    title: str,
    columns: Sequence[Column],
    lines: Sequence[SheetRow],
    *,
    height: str,
    selected: str = "",
    on_pick: Callable[[str], None] | None = None,
    keys: bool = False,
    ticks: str = "",
    ticked: Sequence[str] = (),
    on_tick: Callable[[list[str]], None] | None = None,
) -> bool:
    """A table; `on_pick` gets the id of an opened row, `on_tick` all ticked ids, before the page runs again.

    keys: whether J and K step through the rows. ticks: what a box in front of each row is called, with a box for all in
    the head; empty: no boxes. Returns whether a row was opened just now.
    """

    def picked() -> None:
        value = st.session_state[key].picked
        if value is not None and on_pick is not None:
            on_pick(str(value))

    def told() -> None:
        value = st.session_state[key].ticked
        if value is not None and on_tick is not None:
            on_tick([str(one) for one in value])

    data = {
        "title": title,
        "columns": [asdict(column) for column in columns],
        "rows": [{"id": line.id, "cells": [_plain(cell) for cell in line.cells]} for line in lines],
        "selected": selected,
        "height": height,
        "opens": on_pick is not None,
        "keys": keys,
        "ticks": ticks,
        "ticked": list(ticked),
    }
    return _RENDER(key=key, data=data, on_picked_change=picked, on_ticked_change=told).picked is not None


def _plain(cell: SheetCell) -> dict[str, object]:
    """By hand: `asdict` takes ten times as long."""
    return {"text": cell.text, "tone": cell.tone, "hint": cell.hint, "strip": list(cell.strip)}


_RENDER = component("sheet")
