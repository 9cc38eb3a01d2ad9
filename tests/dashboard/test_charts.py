from typing import Any

from dashboard.charts.colours import LIGHT
from dashboard.charts.lines import Curve, Spread, small_multiples


def _traces(figure: Any, **wanted: Any) -> list[Any]:
    return [trace for trace in figure.data if all(getattr(trace, key) == value for key, value in wanted.items())]


def test_small_multiples_share_the_line_of_the_pick() -> None:
    spreads = (Spread(1, 0, 2), Spread(2, 1, 3))
    curves = [Curve(title, 1, ("0", "1"), (0.0, 1.0), spreads, least_span=8) for title in ("a", "b", "c", "d", "e")]
    figure = small_multiples(curves, picked_ratio=0.4, columns=4, colours=LIGHT)
    assert [annotation.text for annotation in figure.layout.annotations] == ["a", "b", "c", "d", "e"]
    assert [shape.x0 for shape in figure.layout.shapes] == [0.4] * 5
    bands = _traces(figure, fill="toself")
    assert [list(band.y) for band in bands] == [[2, 3, 1, 0]] * 5
    assert list(figure.layout.yaxis3.range) == [-2.5, 5.5]


def test_mask_seeds_stand_behind_their_mean() -> None:
    spreads = (Spread(1, 0, 2), Spread(2, 1, 3))
    curves = [Curve("a", seed, ("0", "1"), (0.0, 1.0), spreads, least_span=8) for seed in (1, 1, 2)]
    figure = small_multiples(curves, picked_ratio=None, columns=4, colours=LIGHT)
    assert len(_traces(figure, fill="toself")) == 1
    assert [trace.mode for trace in figure.data] == ["lines", "lines", "lines", "lines+markers"]
