"""The frontier chart, as a pure function of values. Shares arrive in per cent, scores as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dashboard.charts import drawing as go
from dashboard.charts.colours import Palette, level_colour, ratio_colour
from dashboard.charts.labels import apart
from dashboard.charts.lines import Spread, layout_of

HEIGHT = 510
"""In pixels."""


@dataclass(frozen=True, slots=True)
class SeedSpot:
    """One mask seed's merge at a ratio that has several."""

    handle: str
    x: float
    y: float
    hover: str
    """Escaped HTML for the hover box."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One ratio or one reference on the chart."""

    handle: str
    """What a click picks; of several mask seeds the first one's."""
    label: str
    """Escaped."""
    ratio: float | None
    """None for references."""
    x: Spread
    """Of several mask seeds the mean, and the means of the ends of their intervals."""
    y: Spread
    on_frontier: bool
    hover: str
    """Escaped HTML for the hover box."""
    level: float | None = None
    """What the colour says where that is not the ratio; None where it has no value."""
    seeds: tuple[SeedSpot, ...] = ()
    """Empty where there is one mask seed."""

    def is_at(self, handle: str) -> bool:
        """Whether it, or one of its mask seeds, is called `handle`."""
        return self.handle == handle or any(seed.handle == handle for seed in self.seeds)


@dataclass(frozen=True, slots=True)
class Bound:
    """A constraint of the rule on one of the chart's axes."""

    axis: Literal["x", "y"]
    value: float
    label: str
    """Escaped."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """Another curve for comparison; it cannot be picked."""

    name: str
    """Escaped."""
    spots: Sequence[Spot]


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn beside the spots."""

    x_title: str
    y_title: str
    level_title: str
    """What the colour says; empty for the ratio."""
    picked: str
    """Handle of the point drawn large."""
    recommended: str
    """Handle of the point that the rule recommends; empty where none."""
    recommended_note: str
    """Words behind its label, escaped."""
    mixing: str
    """Name of the straight line between the two references, escaped."""
    bounds: Sequence[Bound] = ()
    overlays: Sequence[Overlay] = ()


def frontier(spots: Sequence[Spot], view: View, colours: Palette) -> go.Figure:
    """Merge points in ratio order on two metrics, with intervals, ends and references."""
    points = sorted((s for s in spots if s.ratio is not None), key=lambda s: s.ratio or 0.0)
    references = [spot for spot in spots if spot.ratio is None]
    tones = _tones(spots, view, colours)
    traces = [*_mixing_line(references, view.mixing, colours)]
    for overlay in view.overlays:
        traces += _overlaid(overlay, colours)
    traces.append(_line([s.x.value for s in points], [s.y.value for s in points], colours.muted, 1, opacity=0.5))
    for spot in spots:
        traces += _bars(spot, tones[spot.handle])
    traces += [_markers(points, view.picked, tones, colours), _reference_markers(references, view.picked, colours)]
    traces += _seed_dots(points, view.picked, tones, colours)
    if view.level_title:
        traces += _level_bar(spots, view.level_title, colours)
    labels = apart(
        [
            _label(_noted(spot, view), spots, bold=spot.is_at(view.picked), colours=colours)
            for spot in _labelled(points, _merged_where_close(references, spots), view)
        ],
        [spot.x for spot in spots],
        [spot.y for spot in spots],
    )
    layout = layout_of(colours, height=HEIGHT) | {"paper_bgcolor": colours.background}
    layout["xaxis"] = {**layout["xaxis"], "title": {**layout["xaxis"]["title"], "text": view.x_title}}
    layout["yaxis"] = {**layout["yaxis"], "title": {**layout["yaxis"]["title"], "text": view.y_title}}
    if view.level_title:
        layout["margin"] = {**layout["margin"], "r": 64}
    labels += [_overlay_label(overlay, colours) for overlay in view.overlays if overlay.spots]
    labels += [_bound_label(bound, colours) for bound in view.bounds]
    shapes = [_bound_line(bound, colours) for bound in view.bounds]
    return go.Figure(data=traces, layout={**layout, "annotations": labels, "shapes": shapes})


def _line(x: list[float], y: list[float], colour: str, width: float, **more: Any) -> go.Scatter:
    return go.Scatter(x=x, y=y, mode="lines", line={"color": colour, "width": width}, hoverinfo="skip", **more)


def _tones(spots: Sequence[Spot], view: View, colours: Palette) -> dict[str, str]:
    """A colour for each spot by its handle."""
    if not view.level_title:
        return {s.handle: colours.muted if s.ratio is None else ratio_colour(s.ratio, colours) for s in spots}
    low, high = _level_range(spots)
    return {
        s.handle: colours.muted if s.level is None else level_colour((s.level - low) / (high - low), colours)
        for s in spots
    }


def _level_range(spots: Sequence[Spot]) -> tuple[float, float]:
    levels = [spot.level for spot in spots if spot.level is not None]
    low, high = min(levels, default=0.0), max(levels, default=1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _level_bar(spots: Sequence[Spot], title: str, colours: Palette) -> Iterator[go.Scatter]:
    """The key of the colours, hung on a marker that is not drawn."""
    low, high = _level_range(spots)
    bar = {
        "thickness": 9,
        "len": 0.55,
        "y": 0.5,
        "x": 1.01,
        "outlinewidth": 0,
        "tickfont": {"size": 11, "color": colours.muted},
        "title": {"text": title, "side": "right", "font": {"size": 12, "color": colours.ink}},
        "nticks": 5,
    }
    scale = [[share / 8, level_colour(share / 8, colours)] for share in range(9)]
    marker = {"color": [low], "cmin": low, "cmax": high, "colorscale": scale, "showscale": True, "colorbar": bar}
    yield go.Scatter(x=[None], y=[None], mode="markers", marker=marker, hoverinfo="skip")


def _bars(spot: Spot, colour: str) -> Iterator[go.Scatter]:
    """The 95 % intervals as a cross; of several mask seeds wide and pale, with the seeds' range as a thin one in it."""
    several = bool(spot.seeds)
    yield _cross(spot, spot.x, spot.y, colour, width=6 if several else 1.3, opacity=0.22 if several else 0.75)
    if several:
        xs, ys = [seed.x for seed in spot.seeds], [seed.y for seed in spot.seeds]
        x, y = (Spread(s.value, min(v), max(v)) for s, v in ((spot.x, xs), (spot.y, ys)))
        yield _cross(spot, x, y, colour, width=1.2, opacity=1)


def _cross(spot: Spot, x: Spread, y: Spread, colour: str, *, width: float, opacity: float) -> go.Scatter:
    return go.Scatter(
        x=[x.low, x.high, None, spot.x.value, spot.x.value],
        y=[spot.y.value, spot.y.value, None, y.low, y.high],
        mode="lines",
        line={"color": colour, "width": width},
        opacity=opacity,
        hoverinfo="skip",
    )


def _markers(points: Sequence[Spot], picked: str, tones: dict[str, str], colours: Palette) -> go.Scatter:
    own = [tones[spot.handle] for spot in points]
    return _pickable(
        points,
        {
            "size": [17 if spot.is_at(picked) else 10 for spot in points],
            "color": [t if s.on_frontier else colours.background for s, t in zip(points, own, strict=True)],
            "line": {"color": own, "width": [3 if spot.is_at(picked) else 1.8 for spot in points]},
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


def _seed_dots(points: Sequence[Spot], picked: str, tones: dict[str, str], colours: Palette) -> Iterator[go.Scatter]:
    """The mask seeds of the picked ratio, the picked one filled with ink."""
    for spot in points:
        if spot.seeds and spot.is_at(picked):
            fill = [colours.ink if seed.handle == picked else colours.background for seed in spot.seeds]
            yield _pickable(
                spot.seeds,
                {"size": 7, "color": fill, "line": {"color": tones[spot.handle], "width": 1.5}, "opacity": 1},
            )


def _pickable(spots: Sequence[Spot] | Sequence[SeedSpot], marker: dict[str, Any]) -> go.Scatter:
    return go.Scatter(
        x=[spot.x.value if isinstance(spot, Spot) else spot.x for spot in spots],
        y=[spot.y.value if isinstance(spot, Spot) else spot.y for spot in spots],
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
    return [line.update(line={"dash": "dot"}, name=name)]


def _overlaid(overlay: Overlay, colours: Palette) -> Iterator[go.Scatter]:
    spots = sorted(overlay.spots, key=lambda s: s.ratio or 0.0)
    yield go.Scatter(
        x=[spot.x.value for spot in spots],
        y=[spot.y.value for spot in spots],
        mode="lines+markers",
        line={"color": colours.muted, "width": 1.2, "dash": "dash"},
        marker={
            "symbol": "square",
            "size": 6,
            "color": colours.background,
            "line": {"width": 1.3, "color": [ratio_colour(spot.ratio or 0.0, colours) for spot in spots]},
            "opacity": 1,
        },
        text=[spot.hover for spot in spots],
        hovertemplate="%{text}<extra></extra>",
        name=overlay.name,
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )


def _overlay_label(overlay: Overlay, colours: Palette) -> dict[str, Any]:
    """Beside the middle of the curve."""
    middle = sorted(overlay.spots, key=lambda s: s.ratio or 0.0)[len(overlay.spots) // 2]
    place = {"x": middle.x.value, "y": middle.y.value, "xanchor": "right", "xshift": -9, "yshift": -11}
    return place | {"text": overlay.name, "showarrow": False, "font": {"size": 12, "color": colours.muted}}


def _bound_line(bound: Bound, colours: Palette) -> dict[str, Any]:
    line = {"type": "line", "line": {"color": colours.ink, "width": 1, "dash": "longdash"}, "opacity": 0.45}
    if bound.axis == "y":
        return line | {"x0": 0, "x1": 1, "xref": "x domain", "y0": bound.value, "y1": bound.value, "yref": "y"}
    return line | {"y0": 0, "y1": 1, "yref": "y domain", "x0": bound.value, "x1": bound.value, "xref": "x"}


def _bound_label(bound: Bound, colours: Palette) -> dict[str, Any]:
    """At the left end of a level line, at the foot of an upright one."""
    place: dict[str, Any] = (
        {"x": 0.01, "xref": "x domain", "y": bound.value, "yref": "y", "xanchor": "left", "yanchor": "bottom"}
        if bound.axis == "y"
        else {"x": bound.value, "xref": "x", "y": 0.02, "yref": "y domain", "xanchor": "right", "yanchor": "bottom"}
    )
    return place | {"text": bound.label, "showarrow": False, "font": {"size": 11, "color": colours.muted}}


def _noted(spot: Spot, view: View) -> Spot:
    """The recommended spot says so in its label."""
    return replace(spot, label=f"{spot.label} {view.recommended_note}") if spot.is_at(view.recommended) else spot


def _labelled(points: Sequence[Spot], references: Sequence[Spot], view: View) -> list[Spot]:
    ratios = [spot.ratio for spot in points if spot.ratio is not None]
    ends = {min(ratios), max(ratios)} if ratios else set()
    marked = [s for s in points if s.is_at(view.picked) or s.is_at(view.recommended) or s.ratio in ends]
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
