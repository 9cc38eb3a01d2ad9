"""The figures, as pure functions of values. Shares arrive in per cent, scores as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

from dashboard.colours import VERDICT_FILL, Palette, Verdict, ratio_colour


@dataclass(frozen=True, slots=True)
class Spread:
    """A value on an axis with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spot:
    """One checkpoint on the frontier chart."""

    handle: str
    label: str
    ratio: float | None
    """None for references."""
    mask_seed: int | None
    x: Spread
    y: Spread
    on_frontier: bool
    hover: str
    """Escaped HTML for the hover box."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric along the ratio for one mask seed; values by rising ratio."""

    title: str
    mask_seed: int | None
    handles: tuple[str, ...]
    ratios: tuple[float, ...]
    spreads: tuple[Spread, ...]
    least_span: float
    """The axis shows at least this much, so that noise does not fill the chart."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One square of the failure matrix."""

    row: str
    column: str
    share: float
    """Share of failures among this cell's answers, 0-1."""
    hover: str
    pick: tuple[str, str]
    """Category and checkpoint handle, returned by a click."""


def frontier(
    spots: Sequence[Spot], *, x_title: str, y_title: str, picked: str, mixing: str, colours: Palette
) -> go.Figure:
    """Merge points in ratio order on two metrics, with intervals, ends and references.

    `picked` is the handle of the point drawn large; `mixing` names the straight line between the two references.
    """
    points = [spot for spot in spots if spot.ratio is not None]
    references = [spot for spot in spots if spot.ratio is None]
    traces = _mixing_line(references, mixing, colours)
    for seed in dict.fromkeys(spot.mask_seed for spot in points):
        chain = sorted((s for s in points if s.mask_seed == seed), key=lambda s: s.ratio or 0.0)
        traces.append(_line([s.x.value for s in chain], [s.y.value for s in chain], colours.muted, 1, opacity=0.5))
    traces += [_bars(spot, _tone(spot, colours)) for spot in spots]
    traces += [_markers(points, picked, colours), _reference_markers(references, picked, colours)]
    labels = [
        _label(spot, spots, bold=spot.handle == picked, colours=colours)
        for spot in _labelled(points, _merged_where_close(references, spots), picked)
    ]
    layout = _layout(colours, height=510)
    layout["xaxis"] = {**layout["xaxis"], "title": {**layout["xaxis"]["title"], "text": x_title}}
    layout["yaxis"] = {**layout["yaxis"], "title": {**layout["yaxis"]["title"], "text": y_title}}
    return go.Figure(data=traces, layout={**layout, "annotations": labels})


def small_multiples(
    curves: Sequence[Curve], *, picked_ratio: float | None, columns: int, colours: Palette
) -> go.Figure:
    """Every metric against the ratio with its interval band, and a line at the picked ratio."""
    panels: dict[str, list[Curve]] = {}
    for curve in curves:
        panels.setdefault(curve.title, []).append(curve)
    rows = max(1, -(-len(panels) // columns))
    traces: list[go.Scatter] = []
    layout = _layout(colours, height=176 * rows + 20) | {"margin": {"l": 34, "r": 8, "t": 28, "b": 26}}
    layout |= {"annotations": [], "shapes": []}
    for index, (title, some) in enumerate(panels.items()):
        number = "" if index == 0 else str(index + 1)  # as Plotly counts axes: x, x2, x3
        place = {"xaxis": f"x{number}", "yaxis": f"y{number}"}
        traces += [_band(some[0], colours).update(place), *(_curve(curve, colours).update(place) for curve in some)]
        across, up = _cell(index, columns, rows)
        layout |= _panel_axes(number, across, up, _range(some), colours)
        layout["annotations"].append(_panel_title(title, across, up, colours))
        if picked_ratio is not None:
            layout["shapes"].append(_upright(number, picked_ratio, colours))
    return go.Figure(data=traces, layout=layout)


def failure_matrix(cells: Sequence[Cell], *, picked: tuple[str, str], verdict: Verdict, colours: Palette) -> go.Figure:
    """Category by checkpoint; the area of each square is the share of failures, a dot where there is none.

    `picked` is the framed cell, as (category, handle).
    """
    rows = list(dict.fromkeys(cell.row for cell in cells))
    columns = list(dict.fromkeys(cell.column for cell in cells))
    fill = VERDICT_FILL[verdict]
    figure = go.Figure(
        go.Scatter(
            x=[cell.column for cell in cells],
            y=[cell.row for cell in cells],
            mode="markers",
            marker={
                "symbol": "square",
                "size": [3 + 23 * cell.share**0.5 for cell in cells],
                "color": [fill if cell.share > 0 else colours.grid for cell in cells],
                "line": {"width": [2 if cell.pick == picked else 0 for cell in cells], "color": colours.ink},
                "opacity": 1,
            },
            customdata=[list(cell.pick) for cell in cells],
            text=[cell.hover for cell in cells],
            hovertemplate="%{text}<extra></extra>",
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 1}},
        )
    )
    figure.update_layout(**_layout(colours, height=90 + 34 * len(rows)))
    figure.update_layout(margin={"l": 8, "r": 8, "t": 44, "b": 8})
    figure.update_xaxes(
        type="category", categoryarray=columns, categoryorder="array", side="top", automargin=True, tickangle=0
    )
    figure.update_yaxes(type="category", categoryarray=rows[::-1], categoryorder="array", automargin=True)
    return figure


def _layout(colours: Palette, height: int) -> dict[str, Any]:
    axis = {
        "gridcolor": colours.grid,
        "zeroline": False,
        "tickfont": {"size": 12, "color": colours.muted},
        "title": {"font": {"size": 13, "color": colours.ink}, "standoff": 8},
    }
    return {
        "height": height,
        "margin": {"l": 58, "r": 14, "t": 8, "b": 46},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"size": 12, "color": colours.ink},
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
        "clickmode": "event+select",
        "xaxis": {**axis, "showgrid": True},
        "yaxis": axis,
        "hoverlabel": {"align": "left", "font": {"size": 12}},
    }


def _line(x: list[float], y: list[float], colour: str, width: float, **more: Any) -> go.Scatter:
    return go.Scatter(x=x, y=y, mode="lines", line={"color": colour, "width": width}, hoverinfo="skip", **more)


def _tone(spot: Spot, colours: Palette) -> str:
    return colours.muted if spot.ratio is None else ratio_colour(spot.ratio, colours)


def _bars(spot: Spot, colour: str) -> go.Scatter:
    x = [spot.x.low, spot.x.high, None, spot.x.value, spot.x.value]
    y = [spot.y.value, spot.y.value, None, spot.y.low, spot.y.high]
    return go.Scatter(x=x, y=y, mode="lines", line={"color": colour, "width": 1.3}, opacity=0.75, hoverinfo="skip")


def _markers(points: Sequence[Spot], picked: str, colours: Palette) -> go.Scatter:
    tones = [_tone(spot, colours) for spot in points]
    return _pickable(
        points,
        {
            "size": [17 if spot.handle == picked else 10 for spot in points],
            "color": [
                tone if spot.on_frontier else colours.background for spot, tone in zip(points, tones, strict=True)
            ],
            "line": {"color": tones, "width": [3 if spot.handle == picked else 1.8 for spot in points]},
            "opacity": 1,
        },
    )


def _reference_markers(references: Sequence[Spot], picked: str, colours: Palette) -> go.Scatter:
    return _pickable(
        references,
        {
            "symbol": "diamond",
            "size": [16 if spot.handle == picked else 11 for spot in references],
            "color": colours.background,
            "line": {"color": colours.muted, "width": 1.6},
            "opacity": 1,
        },
    )


def _pickable(spots: Sequence[Spot], marker: dict[str, Any]) -> go.Scatter:
    return go.Scatter(
        x=[spot.x.value for spot in spots],
        y=[spot.y.value for spot in spots],
        mode="markers",
        marker=marker,
        customdata=[[spot.handle] for spot in spots],
        text=[spot.hover for spot in spots],
        hovertemplate="%{text}<extra></extra>",
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
        cliponaxis=False,
    )


def _mixing_line(references: Sequence[Spot], name: str, colours: Palette) -> list[go.Scatter]:
    ends = {spot.handle: spot for spot in references if spot.handle in ("model-safe", "model-useful")}
    if len(ends) < 2:
        return []
    safe, useful = ends["model-safe"], ends["model-useful"]
    line = _line([useful.x.value, safe.x.value], [useful.y.value, safe.y.value], colours.muted, 1, opacity=0.6)
    return [line.update(line_dash="dot", name=name)]


def _labelled(points: Sequence[Spot], references: Sequence[Spot], picked: str) -> list[Spot]:
    ratios = [spot.ratio for spot in points if spot.ratio is not None]
    ends = {min(ratios), max(ratios)} if ratios else set()
    seeds = list(dict.fromkeys(spot.mask_seed for spot in points))
    marked = [spot for spot in points if spot.handle == picked or (spot.ratio in ends and spot.mask_seed == seeds[0])]
    return [*references, *marked]


def _merged_where_close(references: Sequence[Spot], spots: Sequence[Spot]) -> list[Spot]:
    """References with one label for those that lie on each other (within 3 % of the chart)."""
    if not references:
        return []
    wide = max(s.x.value for s in spots) - min(s.x.value for s in spots)
    high = max(s.y.value for s in spots) - min(s.y.value for s in spots)
    merged: list[Spot] = []
    for spot in references:
        near = [
            i
            for i, other in enumerate(merged)
            if abs(other.x.value - spot.x.value) <= 0.03 * wide and abs(other.y.value - spot.y.value) <= 0.03 * high
        ]
        if near:
            merged[near[0]] = replace(merged[near[0]], label=f"{merged[near[0]].label}, {spot.label}")
        else:
            merged.append(spot)
    return merged


def _label(spot: Spot, spots: Sequence[Spot], *, bold: bool, colours: Palette) -> dict[str, Any]:
    """Beside the marker, towards the middle of the chart; references above, merge points below."""
    right_half = spot.x.value > (min(s.x.value for s in spots) + max(s.x.value for s in spots)) / 2
    return {
        "x": spot.x.value,
        "y": spot.y.value,
        "text": f"<b>{spot.label}</b>" if bold else spot.label,
        "showarrow": False,
        "xanchor": "right" if right_half else "left",
        "xshift": -11 if right_half else 11,
        "yshift": 13 if spot.ratio is None else -13,
        "font": {"size": 12, "color": colours.ink if bold or spot.ratio is not None else colours.muted},
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
