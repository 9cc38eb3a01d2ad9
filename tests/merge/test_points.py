"""Merge points: weights in decimal, roles by mode, ids."""

from __future__ import annotations

from decimal import Decimal

import pytest

from merge.config import MergeSection
from merge.points import grid
from tests.merge.conftest import a_point


@pytest.mark.parametrize(
    ("mode", "base", "terms", "weights"),
    [
        ("complementary", "base", ("safe", "useful"), ["0.9", "0.1"]),
        ("additive", "base", ("safe", "useful"), ["0.9", "1"]),
        ("into-useful", "useful", ("safe",), ["0.9"]),
    ],
)
def test_modes(mode: str, base: str, terms: tuple[str, ...], weights: list[str]) -> None:
    point = a_point("0.9", mode=mode)
    assert point.base_role == base
    assert point.term_roles == terms
    assert [point.weight(role) for role in point.term_roles] == [Decimal(weight) for weight in weights]


def test_a_model_that_is_no_term_has_no_weight() -> None:
    with pytest.raises(ValueError, match="useful is no term"):
        a_point(mode="into-useful").weight("useful")


def test_equal_settings_have_equal_ids_however_they_are_written() -> None:
    assert a_point("0.50").point_id == a_point("0.5").point_id
    assert a_point("0.5").point_id != a_point("0.500001").point_id


def test_grid_is_seed_after_seed_with_rising_ratios() -> None:
    section = MergeSection(ratios=(Decimal(1), Decimal("0.25")), mask_seeds=(3, 1))
    assert [(p.mask_seed, str(p.ratio)) for p in grid(section)] == [(3, "0.25"), (3, "1"), (1, "0.25"), (1, "1")]
