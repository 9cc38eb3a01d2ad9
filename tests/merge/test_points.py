"""Merge points: weights in decimal, roles by mode, ids."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from merge.config import MergeSection
from merge.methods import METHODS
from merge.points import MergePoint, grid
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


def test_fields_left_at_their_defaults_follow_the_method() -> None:
    def first(**raw: object) -> MergePoint:
        return grid(MergeSection.model_validate(raw))[0]

    assert [first(method=name).rescale for name in METHODS] == [True, False, True, False, False, False, True]
    assert first(method="dare_ties", rescale=False).rescale is False
    assert first(method="slerp").density_safe == 1
    assert first(method="ties").density_safe == Decimal("0.5")


@pytest.mark.parametrize(
    ("changes", "way"),
    [
        ({}, "blend"),
        ({"rescale": False}, "blend"),
        ({"mode": "into-useful"}, "blend"),
        ({"normalize": True}, "mergekit"),
        ({"int8_mask": True}, "mergekit"),
        ({"gradient": (Decimal(0), Decimal(1))}, "mergekit"),
        *(({"method": name}, "mergekit") for name in METHODS if name != "dare_ties"),
    ],
)
def test_what_is_blended(changes: dict[str, Any], way: str) -> None:
    assert a_point(**changes).way == way


def test_every_field_is_part_of_the_id() -> None:
    changes: list[dict[str, Any]] = [{"int8_mask": True}, {"gradient": (Decimal(1), Decimal(1))}, {"rescale": False}]
    ids = {a_point(**change).point_id for change in [{}, {"method": "ties"}, *changes]}
    assert len(ids) == 5
    assert all(one.startswith("p2_") for one in ids)


def test_mixing_methods_start_from_model_useful() -> None:
    point = a_point("0.9", method="slerp")
    assert (point.base_role, point.listed_roles) == ("useful", ("useful", "safe"))
    assert point.weight("useful") == Decimal("0.1")


def test_a_gradient_multiplies_the_ratio_in_decimal() -> None:
    point = a_point("0.9", gradient=(Decimal("0.1"), Decimal(1)))
    assert point.weights("safe") == (Decimal("0.09"), Decimal("0.9"))
    assert point.weights("useful") == (Decimal("0.91"), Decimal("0.1"))
    assert a_point("0.9", mode="additive", gradient=point.gradient).weights("useful") == (1, 1)


def test_a_summary_says_only_what_the_method_has() -> None:
    assert a_point("0.45").summary == (
        "dare_ties of model-safe and model-useful, mode complementary, ratio 0.45 (the weight of model-safe), "
        "densities 0.5 (safe) and 0.5 (useful), lambda 1, mask seed 11"
    )
    slerp = a_point("0.45", method="slerp", gradient=(Decimal(0), Decimal("0.5")))
    assert slerp.summary.endswith("ratio 0.45 (the weight of model-safe), layer factors 0, 0.5")
