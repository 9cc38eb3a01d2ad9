"""Labels of a chart that keep off each other, as a pure function of plotly's annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dashboard.charts.lines import Spread

LETTER, LINE = 6.8, 15.0
"""About how wide a letter and how high a line of a label is, in pixels."""
PLOT = (640.0, 450.0)
"""About how wide and high the plot is, in pixels; only labels rest on it."""


def apart(labels: list[dict[str, Any]], xs: Sequence[Spread], ys: Sequence[Spread]) -> list[dict[str, Any]]:
    """The labels, moved line by line away from their marker where they would lie on an earlier one.

    xs, ys: all that is drawn, which says where a label's place is.
    """
    placed: list[tuple[float, float, float]] = []
    for label in labels:
        left, right, height = _box(label, xs, ys)
        step = LINE if label["yshift"] > 0 else -LINE
        while any(left < other[1] and other[0] < right and abs(height - other[2]) < LINE for other in placed):
            label["yshift"] += step
            height += step
        placed.append((left, right, height))
    return labels


def _box(label: dict[str, Any], xs: Sequence[Spread], ys: Sequence[Spread]) -> tuple[float, float, float]:
    """Left end, right end and height of a label's middle, in pixels from the plot's lower left corner, about."""
    x = PLOT[0] * _place(label["x"], xs) + label["xshift"]
    y = PLOT[1] * _place(label["y"], ys) + label["yshift"]
    text = label["text"].removeprefix("<b>").removesuffix("</b>")
    width = LETTER * sum(2 if ord(letter) > 0x2E7F else 1 for letter in text)
    return (x - width, x, y) if label["xanchor"] == "right" else (x, x + width, y)


def _place(value: float, spreads: Sequence[Spread]) -> float:
    """Where a value lies among all that is drawn, 0-1."""
    low, high = min(spread.low for spread in spreads), max(spread.high for spread in spreads)
    return (value - low) / (high - low) if high > low else 0.5
