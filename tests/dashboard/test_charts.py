from typing import Any

from dashboard.charts import Cell, Curve, Spot, Spread, failure_matrix, frontier, small_multiples
from dashboard.colours import LIGHT, VERDICT_FILL, ratio_colour


def _spot(handle: str, ratio: float | None, x: float, y: float, *, best: bool = True, seed: int | None = 1) -> Spot:
    return Spot(
        handle,
        f"r {handle}",
        ratio,
        None if ratio is None else seed,
        Spread(x, x - 1, x + 1),
        Spread(y, y - 2, y + 2),
        best,
        "",
    )


SPOTS = [
    _spot("1", 1.0, 10, 90),
    _spot("0", 0.0, 95, 20),
    _spot("0.5", 0.5, 80, 80, best=False),
    _spot("model-safe", None, 8, 92),
    _spot("model-useful", None, 96, 18),
]


def _figure(picked: str = "0.5") -> Any:
    return frontier(SPOTS, x_title="x", y_title="y", picked=picked, mixing="mix", colours=LIGHT)


def _traces(figure: Any, **wanted: Any) -> list[Any]:
    return [trace for trace in figure.data if all(getattr(trace, key) == value for key, value in wanted.items())]


def test_points_are_joined_in_ratio_order() -> None:
    chain = next(trace for trace in _traces(_figure(), mode="lines") if len(trace.x) == 3)
    assert list(chain.x) == [95, 80, 10]


def test_each_mask_seed_has_its_own_line() -> None:
    spots = [*SPOTS, _spot("0@2", 0.0, 90, 25, seed=2), _spot("1@2", 1.0, 12, 85, seed=2)]
    figure = frontier(spots, x_title="", y_title="", picked="0", mixing="mix", colours=LIGHT)
    lines = [list(trace.x) for trace in _traces(figure, mode="lines")]
    assert [95, 80, 10] in lines
    assert [90, 12] in lines


def test_intervals_are_drawn_as_a_cross() -> None:
    crosses = [trace for trace in _traces(_figure(), mode="lines") if len(trace.x) == 5]
    assert len(crosses) == len(SPOTS)
    assert list(crosses[0].x) == [9, 11, None, 10, 10]
    assert list(crosses[0].y) == [90, 90, None, 88, 92]


def test_dominated_points_are_hollow_and_the_picked_one_is_large() -> None:
    points = _traces(_figure(), mode="markers")[0]
    assert list(points.marker.color) == [ratio_colour(1, LIGHT), ratio_colour(0, LIGHT), LIGHT.background]
    assert points.marker.size[2] > points.marker.size[0]


def test_ends_references_and_the_pick_are_labelled() -> None:
    labels = {annotation.text for annotation in _figure().layout.annotations}
    assert labels == {"r 0", "r 1", "<b>r 0.5</b>", "r model-safe", "r model-useful"}


def test_references_on_each_other_share_a_label() -> None:
    figure = frontier(
        [*SPOTS, _spot("base", None, 96.5, 18.5)], x_title="", y_title="", picked="0", mixing="mix", colours=LIGHT
    )
    assert "r model-useful, r base" in {annotation.text for annotation in figure.layout.annotations}


def test_a_click_tells_which_point() -> None:
    merged, references = _traces(_figure(), mode="markers")
    assert [list(row) for row in merged.customdata] == [["1"], ["0"], ["0.5"]]
    assert [list(row) for row in references.customdata] == [["model-safe"], ["model-useful"]]


def test_small_multiples_share_the_line_of_the_pick() -> None:
    spreads = (Spread(1, 0, 2), Spread(2, 1, 3))
    curves = [Curve(title, 1, ("0", "1"), (0.0, 1.0), spreads, least_span=8) for title in ("a", "b", "c", "d", "e")]
    figure = small_multiples(curves, picked_ratio=0.4, columns=4, colours=LIGHT)
    assert [annotation.text for annotation in figure.layout.annotations] == ["a", "b", "c", "d", "e"]
    assert [shape.x0 for shape in figure.layout.shapes] == [0.4] * 5
    bands = _traces(figure, fill="toself")
    assert [list(band.y) for band in bands] == [[2, 3, 1, 0]] * 5
    assert list(figure.layout.yaxis3.range) == [-2.5, 5.5]


def test_squares_grow_with_the_share() -> None:
    cells = [
        Cell("食", "0.00", 0.0, "", ("食", "0")),
        Cell("食", "1.00", 0.25, "", ("食", "1")),
        Cell("IT", "1.00", 1.0, "", ("IT", "1")),
    ]
    trace = failure_matrix(cells, picked=("IT", "1"), verdict="refused", colours=LIGHT).data[0]
    none, some, all_ = trace.marker.size
    assert none < some < all_
    assert list(trace.marker.color) == [LIGHT.grid, VERDICT_FILL["refused"], VERDICT_FILL["refused"]]
    assert list(trace.marker.line.width) == [0, 0, 2]
    assert [list(row) for row in trace.customdata] == [["食", "0"], ["食", "1"], ["IT", "1"]]
