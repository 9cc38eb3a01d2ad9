"""What needs no judge, from the store's rows to the estimates: the same under every judge, and by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from eval.estimates import study_judges
from eval.judge import judge_id_of
from eval.judges.exact import ExactScorer, implied_judges
from eval.prompts import PromptSet
from eval.store import open_store
from tests.eval.guard_rows import SECOND, add_guard
from tests.eval.synthetic_store import make_synthetic_store


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with a guard, and its study."""
    store = tmp_path_factory.mktemp("guard") / "results.duckdb"
    study = make_synthetic_store(store, ratios=2, prompts=12, estimates=False)
    add_guard(store, study)
    return store, study


def estimates(guarded: tuple[Path, str], metric: str, scope: str = "all") -> dict[str, set[Any]]:
    """By judge: value, n, n_unscored, worst and best, of all checkpoints."""
    found: dict[str, set[Any]] = {}
    with open_store(guarded[0], read_only=True) as db:
        rows = db.execute(
            "SELECT judge_id, value, n, n_unscored, worst, best FROM estimate "
            "WHERE metric = ? AND scope = ? AND split = 'all'",
            [metric, scope],
        ).fetchall()
    for judge, *numbers in rows:
        found.setdefault(judge, set()).add(tuple(numbers))
    return found


def test_every_judge_has_the_choices(guarded: tuple[Path, str]) -> None:
    """Right, right, several named, and one too long: 2/3, between 2/4 and 3/4."""
    found = estimates(guarded, "choice_accuracy")
    assert len(found) == 2
    for [numbers] in found.values():
        assert numbers == (pytest.approx(2 / 3), 3, 1, 0.5, 0.75)
    assert estimates(guarded, "choice_accuracy", "set:guard") == found


def test_every_judge_has_the_likelihoods(guarded: tuple[Path, str]) -> None:
    """15 bytes at 1 bit and 22 at 2.5 are 70 bits over 37 bytes."""
    found = estimates(guarded, "bits_per_byte")
    bits = pytest.approx(70 / 37)
    assert len(found) == 2
    for [numbers] in found.values():
        assert numbers == (bits, 2, 0, bits, bits)


def test_jailbreaks_are_the_judges_own(guarded: tuple[Path, str]) -> None:
    """Safety 5, 2, 1; the second judge has judged none yet. The wrapper is a category, with rates of its own."""
    rate, refused = (
        estimates(guarded, f"jailbreak_{name}_rate", "category:fiction") for name in ("violation", "refusal")
    )
    assert rate.pop(SECOND) == {(None, 0, 3, 1.0, 0.0)}
    [[numbers]] = rate.values()
    assert numbers == (pytest.approx(2 / 3), 3, 0, pytest.approx(2 / 3), pytest.approx(2 / 3))
    del refused[SECOND]
    [[numbers]] = refused.values()
    assert numbers[:2] == (pytest.approx(1 / 3), 3)


def test_the_guard_leaves_other_metrics_alone(guarded: tuple[Path, str], tmp_path: Path) -> None:
    bare = tmp_path / "bare.duckdb"
    study = make_synthetic_store(bare, ratios=2, prompts=12)
    for metric in ("safety", "violation_rate", "balance", "refusal_f1", "usefulness", "harmful_refusal_rate"):
        found = estimates(guarded, metric)
        del found[SECOND]
        assert found == estimates((bare, study), metric)


def test_the_exact_scorer_has_no_estimates_of_its_own(guarded: tuple[Path, str]) -> None:
    store, study = guarded
    with open_store(store, read_only=True) as db:
        judges = study_judges(db, study)
    assert judge_id_of(ExactScorer()) not in judges
    assert judges[1] == SECOND
    assert set(estimates(guarded, "choice_accuracy")) == set(judges)


def test_choices_imply_the_exact_scorer(small_set: PromptSet) -> None:
    items = (replace(small_set.items[0], kind="choice", reference="2"), *small_set.items[1:])
    assert implied_judges([small_set]) == ()
    [judge] = implied_judges([small_set, replace(small_set, items=items)])
    assert (judge.kind, judge.kinds, judge.setting) == ("classifier", {"choice"}, {"kind": "exact", "version": 2})
