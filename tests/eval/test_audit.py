"""The blind audit's sample: every answer has the chance that is written beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from eval.audit import Candidate, Population, allocation, population, sample, shown
from eval.store import open_store
from tests.eval.synthetic_store import make_synthetic_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("audit") / "results.duckdb"
    make_synthetic_store(path, ratios=4, prompts=90, estimates=False)
    return path


def drawn(store: Path, seed: int, most: int = 3000) -> Population:
    with open_store(store, read_only=True) as db:
        study, judge = db.execute("SELECT study_id, judge_id FROM study_judge").fetchone()  # type: ignore[misc]
        return population(db, study, judge, seed, most)


def test_strata_get_as_many_each_as_far_as_they_go() -> None:
    sizes = {("a", "x"): 2, ("b", "x"): 10, ("c", "x"): 100}
    assert allocation(sizes, 20) == {("a", "x"): 2, ("b", "x"): 9, ("c", "x"): 9}
    assert allocation(sizes, 1000) == sizes
    assert allocation(sizes, 2) == {("a", "x"): 1, ("b", "x"): 1, ("c", "x"): 0}
    assert allocation({}, 5) == {}


def test_the_population_is_every_distinct_answer_with_its_verdict(store: Path) -> None:
    found = drawn(store, 1)
    assert found.share == 1
    with open_store(store, read_only=True) as db:
        wanted = db.execute(
            "SELECT DISTINCT prompt_id, text_id FROM answer JOIN set_item USING (prompt_id) WHERE text_id IS NOT NULL"
        ).fetchall()
        unsafe = db.execute(
            "SELECT DISTINCT prompt_id, text_id FROM judgement JOIN score USING (judgement_id) "
            "WHERE axis = 'safety' AND value < 3"
        ).fetchall()
    assert sorted((one.prompt_id, one.text_id) for one in found.candidates) == sorted(wanted)
    assert sorted((o.prompt_id, o.text_id) for o in found.candidates if o.verdict == "unsafe") == sorted(unsafe)
    assert {one.verdict for one in found.candidates} == {"unsafe", "full", "partial", "none", "unscored"}


def test_inverse_chances_add_up_to_each_stratum(store: Path) -> None:
    found = drawn(store, 1)
    sizes = Counter((one.kind, one.verdict) for one in found.candidates)
    stratum = {(one.prompt_id, one.text_id): (one.kind, one.verdict) for one in found.candidates}
    picked = sample(found, 40)
    assert len(picked) == 40
    weights: Counter[tuple[str, str]] = Counter()
    for one in picked:
        weights[stratum[one.prompt_id, one.text_id]] += 1 / one.p_selected  # type: ignore[assignment]
    assert {name: round(weight) for name, weight in weights.items()} == sizes


def test_the_same_seed_gives_the_same_sample_and_another_another(store: Path) -> None:
    assert sample(drawn(store, 1), 40) == sample(drawn(store, 1), 40)
    assert sample(drawn(store, 1), 40) != sample(drawn(store, 2), 40)


@pytest.mark.deep
def test_of_many_answers_a_share_is_looked_at_and_counts_for_all(store: Path) -> None:
    every = len(drawn(store, 1).candidates)
    found = [drawn(store, seed, most=40) for seed in range(60)]
    assert all(one.share < 0.5 for one in found)
    estimates = [sum(1 / one.p_selected for one in sample(some, 12)) for some in found]
    # Horvitz and Thompson's estimate has no bias; its mean over 60 draws is sure to some per cent
    assert sum(estimates) / len(estimates) == pytest.approx(every, rel=0.08)


def test_strata_come_mixed() -> None:
    ones = [Candidate(f"q{i}", f"t{i}", "harmful", "unsafe" if i < 5 else "full", (i * 7) % 10) for i in range(10)]
    order = [one.prompt_id for one in sample(Population(1.0, tuple(ones)), 10)]
    assert order == [one.prompt_id for one in sorted(ones, key=lambda one: one.place)]


def test_what_is_shown_is_prompt_and_answer(store: Path) -> None:
    one = sample(drawn(store, 1), 5)[0]
    with open_store(store, read_only=True) as db:
        messages, text = shown(db, [(one.prompt_id, one.text_id)])[one.prompt_id, one.text_id]
        (body,) = db.execute("SELECT body FROM text WHERE text_id = ?", [one.text_id]).fetchone()  # type: ignore[misc]
    assert text == body
    assert "user" in messages
