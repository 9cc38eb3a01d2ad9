"""The frontier chart: what is drawn where, and how it reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dashboard.charts.colours import LIGHT, level_colour, ratio_colour
from dashboard.charts.frontier import Bound, Overlay, SeedSpot, Spot, View, frontier
from dashboard.charts.lines import Spread

VIEW = View("x", "y", "", picked="0.5", recommended="", recommended_note="best", mixing="mix")


def _spot(
    handle: str, ratio: float | None, x: float, y: float, *, best: bool = True, level: float | None = None
) -> Spot:
    return Spot(handle, f"r {handle}", ratio, Spread(x, x - 1, x + 1), Spread(y, y - 2, y + 2), best, "", level)


SPOTS = [
    _spot("1", 1.0, 10, 90, level=1.0),
    _spot("0", 0.0, 95, 20, level=3.0),
    _spot("0.5", 0.5, 80, 80, best=False, level=2.0),
    _spot("model-safe", None, 8, 92),
    _spot("model-useful", None, 96, 18),
]
SEEDED = replace(SPOTS[2], seeds=(SeedSpot("0.5", 79, 85, "one"), SeedSpot("0.5@2", 81, 75, "two")))


def _figure(spots: list[Spot] = SPOTS, **changes: Any) -> Any:
    return frontier(spots, replace(VIEW, **changes), LIGHT)


def _traces(figure: Any, **wanted: Any) -> list[Any]:
    return [trace for trace in figure.data if all(getattr(trace, key) == value for key, value in wanted.items())]


def _labels(figure: Any) -> dict[str, Any]:
    return {annotation.text: annotation for annotation in figure.layout.annotations}


def test_points_are_joined_in_ratio_order() -> None:
    chain = next(trace for trace in _traces(_figure(), mode="lines") if len(trace.x) == 3)
    assert list(chain.x) == [95, 80, 10]


def test_intervals_are_drawn_as_a_cross() -> None:
    crosses = [trace for trace in _traces(_figure(), mode="lines") if len(trace.x) == 5]
    assert len(crosses) == len(SPOTS)
    assert list(crosses[0].x) == [9, 11, None, 10, 10]
    assert list(crosses[0].y) == [90, 90, None, 88, 92]


def test_mask_seeds_are_thin_whiskers_in_a_wide_interval() -> None:
    crosses = [t for t in _traces(_figure([SEEDED]), mode="lines") if len(t.x) == 5]
    wide, thin = crosses
    assert list(wide.x) == [79, 81, None, 80, 80]
    assert list(thin.y) == [80, 80, None, 75, 85]
    assert wide.line.width > 3 * thin.line.width


def test_the_seeds_of_the_picked_ratio_can_be_picked() -> None:
    dots = _traces(_figure([*SPOTS[:2], SEEDED], picked="0.5@2"), mode="markers")[-1]
    assert [list(row) for row in dots.customdata] == [["0.5"], ["0.5@2"]]
    assert list(dots.marker.color) == [LIGHT.background, LIGHT.ink]
    assert len(_traces(_figure([*SPOTS[:2], SEEDED], picked="0"), mode="markers")) == 2


def test_dominated_points_are_hollow_and_the_picked_one_is_large() -> None:
    points = _traces(_figure(), mode="markers")[0]
    assert list(points.marker.color) == [ratio_colour(0, LIGHT), LIGHT.background, ratio_colour(1, LIGHT)]
    assert points.marker.size[1] > points.marker.size[0]


def test_a_third_number_is_the_colour_and_has_a_key() -> None:
    figure = _figure(level_title="detail")
    points, *_, key = _traces(figure, mode="markers")
    assert list(points.marker.line.color) == [level_colour(share, LIGHT) for share in (1, 0.5, 0)]
    assert (key.marker.cmin, key.marker.cmax, key.marker.colorbar.title.text) == (1.0, 3.0, "detail")
    assert len(_traces(_figure(), mode="markers")) == 2


def test_ends_references_the_pick_and_the_recommended_point_are_labelled() -> None:
    assert set(_labels(_figure())) == {"r 0", "r 1", "<b>r 0.5</b>", "r model-safe", "r model-useful"}
    assert "r 0.2 best" in _labels(_figure([*SPOTS, _spot("0.2", 0.2, 90, 60)], recommended="0.2"))


def test_references_on_each_other_share_a_label() -> None:
    assert "r model-useful, r base" in _labels(_figure([*SPOTS, _spot("base", None, 96.5, 18.5)]))


def test_labels_do_not_lie_on_each_other() -> None:
    labels = _labels(_figure([*SPOTS, _spot("0.4", 0.4, 81, 80)], recommended="0.4"))
    assert abs(labels["<b>r 0.5</b>"].yshift - labels["r 0.4 best"].yshift) >= 15


def test_the_mixing_line_needs_both_references() -> None:
    assert [t.name for t in _figure().data if t.name] == ["mix"]
    assert not [t.name for t in _figure(SPOTS[:4]).data if t.name]


def test_the_rule_is_drawn_on_its_axis() -> None:
    figure = _figure(bounds=[Bound("y", 45, "rule: y"), Bound("x", 70, "rule: x")])
    assert [(shape.x0, shape.y0) for shape in figure.layout.shapes] == [(0, 45), (70, 0)]
    assert {"rule: x", "rule: y"} <= set(_labels(figure))


def test_another_curve_cannot_be_picked() -> None:
    other = Overlay("linear", [_spot("1", 1.0, 20, 80), _spot("0", 0.0, 90, 10)])
    figure = _figure(overlays=[other])
    (curve,) = _traces(figure, name="linear")
    assert (list(curve.x), curve.customdata) == ([90, 20], None)
    assert "linear" in _labels(figure)


def test_a_click_tells_which_point() -> None:
    merged, references = _traces(_figure(), mode="markers")
    assert [list(row) for row in merged.customdata] == [["0"], ["0.5"], ["1"]]
    assert [list(row) for row in references.customdata] == [["model-safe"], ["model-useful"]]
