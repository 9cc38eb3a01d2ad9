"""Each recipe key is declared: it changes what is made, or it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergescope.effects import EFFECT, NO_EFFECT, recipe_hash, recipe_keys
from mergescope.study import load_study
from tests.mergescope.recipes import changed, own_models, written


def test_every_key_is_declared_once() -> None:
    keys = set(recipe_keys())
    assert keys == EFFECT | NO_EFFECT
    assert not EFFECT & NO_EFFECT


def _hash(folder: Path, path: str, value: object) -> str:
    return recipe_hash(load_study(written(folder, changed(own_models(), path, value))).recipe)


@pytest.mark.parametrize(
    ("path", "value"),
    [("study", "other"), ("eval.engine.device", "cuda"), ("eval.sets.0.path", "x.jsonl"), ("models.base", "o/n")],
)
def test_names_places_and_speed_do_not_count(tmp_path: Path, path: str, value: object) -> None:
    assert _hash(tmp_path, path, value) == _hash(tmp_path, "seed", 3)


def test_what_a_judge_costs_and_how_soon_it_answers_do_not_count(tmp_path: Path) -> None:
    judge = {"kind": "openai", "model": "m"}
    priced = {**judge, "price": {"prompt": 2.5, "completion": 10}, "batch": True}
    assert _hash(tmp_path, "eval.judges.0", priced) == _hash(tmp_path, "eval.judges.0", judge)


@pytest.mark.parametrize(
    ("path", "value"), [("seed", 4), ("merge.ratios", [0, 1]), ("eval.sets.0.name", "x"), ("merge.threads", 2)]
)
def test_what_changes_the_output_counts(tmp_path: Path, path: str, value: object) -> None:
    assert _hash(tmp_path, path, value) != _hash(tmp_path, "seed", 3)


def test_the_same_number_written_otherwise_is_the_same_recipe(tmp_path: Path) -> None:
    assert _hash(tmp_path, "merge.ratios", [0, "0.50", 1.0]) == _hash(tmp_path, "merge.ratios", [0, 0.5, 1])
