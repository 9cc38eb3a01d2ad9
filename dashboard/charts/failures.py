"""The failure matrix: categories by ratios and references."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.charts import drawing as go
from dashboard.charts.colours import VERDICT_FILL, Palette
from dashboard.charts.lines import bare_layout
from dashboard.store.board import Verdict

LABELS = 13
"""Ratios that are named above their columns at most: a narrow window has room for no more."""
NAME = 15
"""Letters of a reference's name above its column."""
ROW_NAME = 20
"""Latin letters of a category's name, or half as many Japanese ones."""
GAP = 0.4
"""Between the ratios and the references, in columns."""


@dataclass(frozen=True, slots=True)
class Heading:
    """One column."""

    name: str
    """Escaped."""
    is_ratio: bool


@dataclass(frozen=True, slots=True)
class Square:
    """One cell."""

    row: str
    """Escaped."""
    column: int
    """Place among the headings."""
    share: float
    """Share of failures among this cell's answers, 0-1."""
    hover: str
    """Escaped HTML."""
    pick: tuple[str, str]
    """Category and checkpoint handle, returned by a click."""
    framed: bool
    """Whether it is the picked one."""


def failure_matrix(
    squares: Sequence[Square], headings: Sequence[Heading], *, verdict: Verdict, colours: Palette
) -> go.Figure:
    """The area of each square is the share of failures, a dot where there is none; all rows by rising ratio."""
    rows = list(dict.fromkeys(square.row for square in squares))
    places = _places(headings)
    figure = go.Figure([_frame(squares, places, rows, colours), _marks(squares, places, rows, verdict, colours)])
    figure.update_layout(**_layout(len(rows), headings, colours))
    figure.update_xaxes(**_across(headings, places, colours))
    ticks = {"tickvals": list(range(len(rows))), "ticktext": rows, "range": [len(rows) - 0.5, -0.5]}
    figure.update_yaxes(**ticks, gridcolor=colours.grid, zeroline=False, automargin=True)
    figure.update_layout(annotations=_names(headings, places, colours))
    return figure


def row_name(text: str) -> str:
    """A category's name cut to the width that rows have; a Japanese letter is as wide as two Latin ones."""
    wide = 0
    for place, letter in enumerate(text):
        wide += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        if wide > ROW_NAME:
            return text[: max(1, place - 1)] + "…"
    return text


def labelled(count: int) -> list[int]:
    """Which of so many ratios are named: all, or every second, third, ... one and the last, never too near to it."""
    step = -(-count // LABELS)
    places = list(range(0, count, step))
    if places and places[-1] != count - 1:
        places = [place for place in places if count - 1 - place >= step] + [count - 1]
    return places


def _places(headings: Sequence[Heading]) -> list[float]:
    ratios = sum(one.is_ratio for one in headings)
    return [place if place < ratios else place + GAP for place in range(len(headings))]


def _frame(squares: Sequence[Square], places: Sequence[float], rows: Sequence[str], colours: Palette) -> go.Scatter:
    """Around the picked cell, however small its square is."""
    framed = [one for one in squares if one.framed]
    return go.Scatter(
        x=[places[one.column] for one in framed],
        y=[rows.index(one.row) for one in framed],
        mode="markers",
        marker={"symbol": "square-open", "size": 25, "color": colours.ink, "line": {"width": 1.5}, "opacity": 1},
        hoverinfo="skip",
        unselected={"marker": {"opacity": 1}},
        cliponaxis=False,
    )


def _marks(
    squares: Sequence[Square], places: Sequence[float], rows: Sequence[str], verdict: Verdict, colours: Palette
) -> go.Scatter:
    fill = VERDICT_FILL[verdict]
    return go.Scatter(
        x=[places[one.column] for one in squares],
        y=[rows.index(one.row) for one in squares],
        mode="markers",
        marker={
            "symbol": "square",
            "size": [3 + 20 * one.share**0.5 for one in squares],
            "color": [fill if one.share > 0 else colours.muted for one in squares],
            "line": {"width": 0},
            "opacity": 1,
        },
        customdata=[list(one.pick) for one in squares],
        text=[one.hover for one in squares],
        hovertemplate="%{text}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        cliponaxis=False,
    )


def _across(headings: Sequence[Heading], places: Sequence[float], colours: Palette) -> dict[str, Any]:
    ratios = [place for place, one in enumerate(headings) if one.is_ratio]
    named = [ratios[place] for place in labelled(len(ratios))]
    return {
        "tickvals": [places[place] for place in named],
        "ticktext": [headings[place].name for place in named],
        "range": [-0.6, places[-1] + 0.6] if places else [0, 1],
        "side": "top",
        "tickangle": 0,
        "showgrid": False,
        "zeroline": False,
        "tickfont": {"size": 11, "color": colours.muted},
    }


def _names(headings: Sequence[Heading], places: Sequence[float], colours: Palette) -> list[dict[str, Any]]:
    """Of the references, leaning, so that long ones stand beside each other."""
    return [
        {
            "x": places[place],
            "y": 1,
            "xref": "x",
            "yref": "paper",
            "yanchor": "bottom",
            "xanchor": "left",
            "xshift": -6,
            "textangle": -40,
            "text": one.name,
            "showarrow": False,
            "font": {"size": 11, "color": colours.muted},
        }
        for place, one in enumerate(headings)
        if not one.is_ratio
    ]


def _layout(rows: int, headings: Sequence[Heading], colours: Palette) -> dict[str, Any]:
    longest = max((len(html.unescape(one.name)) for one in headings if not one.is_ratio), default=0)
    top, right = max(28, 14 + 5 * longest), 12 + 5 * longest  # a letter of a leaning name is 5 px high and wide
    margin = {"l": 8, "r": right, "t": top, "b": 10}
    return bare_layout(colours, top + 10 + 27 * rows, margin) | {"clickmode": "event+select"}
