"""The curves of both trainings, as a pure function of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.charts import drawing as go
from dashboard.charts.colours import Palette, ratio_colour
from dashboard.charts.lines import bare_layout

ROW = 190
"""Height of one row of charts, in pixels."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: a number of one training by its steps."""

    title: str
    ratio: float
    """1 for model-safe, 0 for model-useful: what the line's colour says."""
    steps: Sequence[float]
    values: Sequence[float]
    looks: tuple[Sequence[float], Sequence[float]]
    """Steps and values on triples that are not trained on; empty where there are none."""
    looks_name: str
    total: int
    """Steps of the whole training, where the axis ends."""


def training(panels: Sequence[Panel], columns: int, colours: Palette) -> go.Figure:
    """Small charts side by side, `columns` to a row."""
    rows = max(1, -(-len(panels) // columns))
    layout = bare_layout(colours, ROW * rows + 16, {"l": 40, "r": 8, "t": 26, "b": 24}) | {"annotations": []}
    traces: list[go.Scatter] = []
    for index, panel in enumerate(panels):
        number = "" if index == 0 else str(index + 1)  # as Plotly counts axes: x, x2, x3
        across, up = _place(index, columns, rows)
        traces += [trace.update(xaxis=f"x{number}", yaxis=f"y{number}") for trace in _lines(panel, colours)]
        layout |= _axes(number, across, up, panel.total, colours)
        layout["annotations"].append(_title(panel.title, across, up, colours))
    return go.Figure(data=traces, layout=layout)


def _lines(panel: Panel, colours: Palette) -> list[go.Scatter]:
    tone = ratio_colour(panel.ratio, colours)
    lines = [_line(panel.steps, panel.values, tone, "lines")]
    if panel.looks[0]:
        lines.append(_line(*panel.looks, colours.ink, "lines+markers", name=f" {panel.looks_name}"))
    return lines


def _line(steps: Sequence[float], values: Sequence[float], tone: str, mode: str, name: str = "") -> go.Scatter:
    alone = len(steps) == 1  # a line of one point is not seen
    return go.Scatter(
        x=list(steps),
        y=list(values),
        mode="markers" if alone else mode,
        line={"color": tone, "width": 1.7},
        marker={"size": 5, "color": tone},
        hovertemplate=f"%{{x}}: %{{y:.4~g}}{name}<extra></extra>",
    )


def _place(index: int, columns: int, rows: int) -> tuple[list[float], list[float]]:
    """Where a chart stands: its ends across and up, as shares of the figure."""
    gap, title = 0.07, 0.3 / rows
    width, height = (1 - gap * (columns - 1)) / columns, (1 - title * (rows - 1)) / rows
    left, top = (index % columns) * (width + gap), 1 - (index // columns) * (height + title)
    return [left, left + width], [max(0.0, top - height), top]


def _axes(number: str, across: list[float], up: list[float], total: int, colours: Palette) -> dict[str, dict[str, Any]]:
    own = {"gridcolor": colours.grid, "zeroline": False, "tickfont": {"size": 11, "color": colours.muted}, "nticks": 5}
    x = {"range": [0, max(1, total)], "domain": across, "anchor": f"y{number}", "tickformat": "d"}
    y = {"domain": up, "anchor": f"x{number}"}
    return {f"xaxis{number}": own | x, f"yaxis{number}": own | y}


def _title(text: str, across: list[float], up: list[float], colours: Palette) -> dict[str, Any]:
    return {
        "x": across[0],
        "xref": "paper",
        "xanchor": "left",
        "y": up[1],
        "yref": "paper",
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
        "font": {"size": 12, "color": colours.ink},
    }
