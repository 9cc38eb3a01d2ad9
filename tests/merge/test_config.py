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
    ],
)
def test_what_makes_no_sense_is_refused_at_its_place(raw: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MergeSection.model_validate(raw)
    assert ".".join(map(str, caught.value.errors()[0]["loc"])).startswith(place)
