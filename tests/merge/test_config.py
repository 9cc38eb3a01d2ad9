"""The `merge:` section: what it takes, and what it refuses."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from merge.config import MergeSection


def test_evenly_spaced_ratios_are_decimals_with_the_ends() -> None:
    section = MergeSection.model_validate({"ratios": {"steps": 4}})
    assert [str(ratio) for ratio in section.ratio_list()] == ["0", "0.333333", "0.666667", "1"]


def test_floats_of_yaml_become_the_digits_that_were_written() -> None:
    section = MergeSection.model_validate({"ratios": [0.1, 0.3], "density_safe": 0.53, "lambda": 1.5})
    assert section.ratio_list() == [Decimal("0.1"), Decimal("0.3")]
    assert (section.density_safe, section.lambda_) == (Decimal("0.53"), Decimal("1.5"))


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ({"ratios": [1.1]}, "ratios"),
        ({"ratios": [0.1, 0.1]}, ""),
        ({"ratios": []}, ""),
        ({"ratios": {"steps": 1}}, "ratios"),
        ({"ratios": {"start": 0.5, "stop": 0.5, "steps": 2}}, "ratios"),
        ({"density_safe": 0}, "density_safe"),
        ({"density_useful": 1.000001}, "density_useful"),
        ({"density_safe": 0.1234567}, "density_safe"),
        ({"mask_seeds": [1, 1]}, ""),
        ({"threads": 0}, "threads"),
        ({"ratio": [0.5]}, "ratio"),
        ({"method": "breadcrumbs"}, "method"),
        ({"gradient": [0, 1.5]}, "gradient"),
    ],
)
def test_what_makes_no_sense_is_refused_at_its_place(raw: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MergeSection.model_validate(raw)
    assert ".".join(map(str, caught.value.errors()[0]["loc"])).startswith(place)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ({"method": "slerp", "mode": "additive"}, "mode must be complementary: slerp mixes"),
        ({"method": "linear", "mode": "into-useful"}, "mode must be complementary: linear mixes"),
        ({"method": "ties", "mask_seeds": [1, 2]}, "mask_seeds must hold one seed: ties draws nothing"),
        ({"method": "slerp", "normalize": True}, "normalize must be left out: slerp does nothing with it"),
        ({"method": "task_arithmetic", "rescale": True}, "rescale must be left out"),
        ({"method": "dare_linear", "int8_mask": True}, "int8_mask must be left out"),
        ({"method": "linear", "lambda": 2}, "lambda must be left out"),
        ({"method": "linear", "density_safe": 0.5}, "density_safe must be left out: linear drops nothing"),
        ({"method": "della", "density_useful": 0.85}, "density_useful must be above 0.15 and below 0.85, or 1"),
        ({"method": "della", "density_safe": 0.15}, "density_safe must be above 0.15 and below 0.85, or 1"),
        ({"mode": "into-useful", "normalize": True}, "normalize must be false in mode into-useful"),
        ({"gradient": [0.5]}, "gradient must hold two factors or more"),
    ],
)
def test_what_a_method_does_not_have_is_refused_by_name(raw: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MergeSection.model_validate(raw)
    assert complaint in caught.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "raw",
    [
        {"method": "linear", "density_safe": 1, "density_useful": 1, "lambda": 1, "rescale": False},
        {"method": "della", "density_safe": 1, "density_useful": 0.849999, "mask_seeds": [1, 2]},
        {"method": "ties", "mode": "into-useful", "int8_mask": True, "rescale": True},
        {"method": "task_arithmetic", "mode": "additive", "gradient": [0, 1]},
    ],
)
def test_what_changes_nothing_or_fits_is_taken(raw: dict[str, Any]) -> None:
    MergeSection.model_validate(raw)
