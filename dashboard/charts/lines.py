"""The figures, as pure functions of values. Shares arrive in per cent, scores as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.charts import drawing as go
from dashboard.charts.colours import Palette


@dataclass(frozen=True, slots=True)
class Spread:
    """A value on an axis with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric along the ratio, of one mask seed or the mean over several; values by rising ratio."""

    title: str
    mask_seed: int | None
    handles: tuple[str, ...]
    ratios: tuple[float, ...]
    spreads: tuple[Spread, ...]
    least_span: float
    """The axis shows at least this much, so that noise does not fill the chart."""


def small_multiples(
    curves: Sequence[Curve], *, picked_ratio: float | None, columns: int, colours: Palette
) -> go.Figure:
    """Every metric against the ratio with its interval band, and a line at the picked ratio.

    Of curves with one title the first is drawn with its band, the others as its mask seeds.
    """
    panels: dict[str, list[Curve]] = {}
    for curve in curves:
        panels.setdefault(curve.title, []).append(curve)
    rows = max(1, -(-len(panels) // columns))
    traces: list[go.Scatter] = []
    layout = layout_of(colours, height=176 * rows + 20) | {"margin": {"l": 34, "r": 8, "t": 28, "b": 26}}
    layout |= {"annotations": [], "shapes": []}
    for index, (title, some) in enumerate(panels.items()):
        number = "" if index == 0 else str(index + 1)  # as Plotly counts axes: x, x2, x3
        place = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        traces += [_band(some[0], colours).update(place)]
        traces += [_seed_curve(curve, colours).update(place) for curve in some[1:]]
        traces += [_curve(some[0], colours).update(place)]
        across, up = _cell(index, columns, rows)
        layout |= _panel_axes(number, across, up, _range(some), colours)
        layout["annotations"].append(_panel_title(title, across, up, colours))
        if picked_ratio is not None:
            layout["shapes"].append(_upright(number, picked_ratio, colours))
    return go.Figure(data=traces, layout=layout)


def layout_of(colours: Palette, height: int) -> dict[str, Any]:
    """What figures with one pair of axes share, to be changed by each."""
    axis = {
        "gridcolor": colours.grid,
        "zeroline": False,
        "tickfont": {"size": 12, "color": colours.muted},
        "title": {"font": {"size": 13, "color": colours.ink}, "standoff": 8},
    }
    return bare_layout(colours, height, {"l": 58, "r": 14, "t": 8, "b": 46}) | {
        "clickmode": "event+select",
        "xaxis": {**axis, "showgrid": True},
        "yaxis": axis,
    }


def bare_layout(colours: Palette, height: int, margin: dict[str, int]) -> dict[str, Any]:
    """The same without axes and clicks. margin: in pixels."""
    return {
        "height": height,
        "margin": margin,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12, "color": colours.ink},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "hoverlabel": {"align": "left", "font": {"size": 12}},
    }


def _cell(index: int, columns: int, rows: int) -> tuple[list[float], list[float]]:
    """Where a small chart stands: its ends across and up, as shares of the figure."""
    gap, title = 0.05, 0.36 / rows
    width = (1 - gap * (columns - 1)) / columns
    height = (1 - title * (rows - 1)) / rows
    left = (index % columns) * (width + gap)
    top = 1 - (index // columns) * (height + title)
    return [left, left + width], [max(0.0, top - height), top]


def _panel_axes(
    number: str, across: list[float], up: list[float], span: list[float], colours: Palette
) -> dict[str, dict[str, Any]]:
    own = {
        "gridcolor": colours.grid,
        "zeroline": False,
        "tickfont": {"size": 11, "color": colours.muted},
    }
    x = {"range": [-0.02, 1.02], "tickvals": [0, 0.25, 0.5, 0.75, 1], "domain": across, "anchor": f"y{number}"}
    y = {"range": span, "nticks": 5, "domain": up, "anchor": f"x{number}"}
    return {f"xaxis{number}": own | x, f"yaxis{number}": own | y}


def _panel_title(text: str, across: list[float], up: list[float], colours: Palette) -> dict[str, Any]:
    middle = {"x": sum(across) / 2, "xref": "paper", "xanchor": "center", "y": up[1], "yref": "paper"}
    return middle | {
        "yanchor": "bottom",
        "text": text,
        "showarrow": False,
        "font": {"size": 12, "color": colours.ink},
    }


def _upright(number: str, ratio: float, colours: Palette) -> dict[str, Any]:
    ends = {"x0": ratio, "x1": ratio, "xref": f"x{number}", "y0": 0, "y1": 1, "yref": f"y{number} domain"}
    return ends | {"type": "line", "line": {"color": colours.ink, "width": 1}}


def _range(curves: Sequence[Curve]) -> list[float]:
    low = min(spread.low for curve in curves for spread in curve.spreads)
    high = max(spread.high for curve in curves for spread in curve.spreads)
    margin = max(0.06 * (high - low), (curves[0].least_span - (high - low)) / 2)
    return [low - margin, high + margin]


def _band(curve: Curve, colours: Palette) -> go.Scatter:
    ratios = list(curve.ratios)
    return go.Scatter(
        x=ratios + ratios[::-1],
        y=[spread.high for spread in curve.spreads] + [spread.low for spread in curve.spreads][::-1],
        fill="toself",
        fillcolor=colours.band,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
    )


def _curve(curve: Curve, colours: Palette) -> go.Scatter:
    return go.Scatter(
        x=list(curve.ratios),
        y=[spread.value for spread in curve.spreads],
        mode="lines+markers",
        line={"color": colours.accent, "width": 1.6},
        marker={"size": 4, "color": colours.accent, "opacity": 1},
        customdata=[[handle] for handle in curve.handles],
        hovertemplate="%{x:.2f}: %{y:.3~g}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )


def _seed_curve(curve: Curve, colours: Palette) -> go.Scatter:
    return go.Scatter(
        x=list(curve.ratios),
        y=[spread.value for spread in curve.spreads],
        mode="lines",
        line={"color": colours.accent, "width": 0.8},
        opacity=0.45,
        hoverinfo="skip",
    )
