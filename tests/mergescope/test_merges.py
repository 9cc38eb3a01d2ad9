"""Points of a study's merges."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from merge.sources import Models
from mergescope.ground.errors import MergescopeError
from mergescope.merges import hub_names, point_at
from mergescope.study import load_study
from tests.mergescope.recipes import changed, own_models, written


def test_a_point_between_those_of_the_grid(tmp_path: Path) -> None:
    recipe = load_study(written(tmp_path, changed(own_models(), "merge.mask_seeds", [4, 9]))).recipe
    point = point_at(recipe, "0.123", 9)
    assert (point.ratio, point.mask_seed) == (Decimal("0.123"), 9)
    assert point_at(recipe, "1.0", None).mask_seed == 4
    with pytest.raises(MergescopeError, match=r"--mask-seed: not in the recipe \(got 5\); use one of 4, 9"):
        point_at(recipe, "0.5", 5)


def test_a_further_mask_seed_of_a_shortlisted_ratio_can_be_exported(tmp_path: Path) -> None:
    raw = changed(own_models(), "eval.shortlist", {"points": [0.5], "mask_seeds": [4]})
    assert point_at(load_study(written(tmp_path, raw)).recipe, "0.5", 4).mask_seed == 4


def test_hub_models_are_named_with_their_commit(tmp_path: Path) -> None:
    study = load_study(written(tmp_path, changed(own_models(), "models.base", "owner/name@main")))
    snapshot = tmp_path / "models--owner--name" / "snapshots" / "abc123"
    names = hub_names(study, Models(snapshot, tmp_path / "safe", tmp_path / "useful"))
    assert names == {"base": "owner/name@abc123"}
