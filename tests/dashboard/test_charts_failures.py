from itertools import pairwise
from typing import Any

import pytest

from dashboard.charts.colours import LIGHT, VERDICT_FILL
from dashboard.charts.failures import Heading, Square, failure_matrix, labelled, row_name

HEADINGS = [Heading("0", True), Heading("1", True), Heading("model-very-long", False)]


def _figure() -> Any:
    squares = [
        Square("食", 0, 0.0, "", ("食", "0"), framed=True),
        Square("食", 1, 0.25, "", ("食", "1"), framed=False),
        Square("IT", 2, 1.0, "", ("IT", "served"), framed=False),
    ]
    return failure_matrix(squares, HEADINGS, verdict="refused", colours=LIGHT)


def test_squares_grow_with_the_share_and_the_picked_one_is_framed() -> None:
    frame, marks = _figure().data
    none, some, all_ = marks.marker.size
    assert none < some < all_
    assert list(marks.marker.color) == [LIGHT.muted, VERDICT_FILL["refused"], VERDICT_FILL["refused"]]
    assert [list(row) for row in marks.customdata] == [["食", "0"], ["食", "1"], ["IT", "served"]]
    assert (list(frame.x), list(frame.y)) == ([0], [0])
    assert frame.customdata is None  # a click on it picks nothing


def test_references_stand_apart_under_leaning_names() -> None:
    figure = _figure()
    assert list(figure.layout.xaxis.ticktext) == ["0", "1"]
    [name] = figure.layout.annotations
    assert (name.text, name.textangle) == ("model-very-long", -40)
    assert name.x > 2
    assert list(figure.data[1].x)[2] == name.x


@pytest.mark.parametrize("count", [1, 2, 11, 13, 14, 21, 41, 101])
def test_so_many_ratios_are_named_that_names_never_touch(count: int) -> None:
    """At 1024 px a window holds 13 names of five letters above 21 columns and more."""
    named = labelled(count)
    assert len(named) <= 13
    assert (named[0], named[-1]) == (0, count - 1)
    steps = {b - a for a, b in pairwise(named)}
    assert not steps or max(steps) < 2 * min(steps)


def test_names_of_categories_are_cut_by_their_width() -> None:
    assert row_name("short") == "short"
    assert row_name("a" * 25) == "a" * 19 + "…"
    assert row_name("バイアス・差別・ヘイト") == "バイアス・差別・ヘ…"
