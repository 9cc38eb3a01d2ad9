"""Failures as pairs: what is learned instead, what is left out and why, and that nothing is added twice."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from dashboard.failures.triples import (
    Failure,
    Given,
    Planned,
    checked_name,
    export,
    given_answers,
    plan,
)
from dashboard.store import queries
from dashboard.store.answers import ItemKey, bodies, items, places, texts_by_id
from eval.store import open_store
from mergescope.ground.errors import DataError
from tests.dashboard.conftest import board_of
from tests.trainer.pairs.made import make_set
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import Quarantine

KEY = ItemKey("set", "item")
FAILED = Failure(KEY, "bad", 0, "borderline", ("悪用", "犯罪"), "質問", single=True)
GIVEN = Given(KEY, "bad", 0, "t-bad", "borderline", "refused", cut=False, safety=None, quality=None, fluency=None)
GOOD = replace(GIVEN, checkpoint_id="a", text_id="t-a", verdict="answered", quality=4.0, fluency=5.0)
ORDER = ["a", "b", "c", "bad"]
TOXIC = "TOXIC-CANARY-5813"


def one_plan(*given: Given, **changes: object) -> Planned:
    [found] = plan([replace(FAILED, **changes)], {KEY: [GIVEN, *given]}, ORDER)  # type: ignore[arg-type]
    return found


def test_the_best_scored_answer_is_chosen() -> None:
    better = replace(GOOD, checkpoint_id="b", text_id="t-b", quality=4.5)
    assert one_plan(GOOD, better).chosen == better
    assert one_plan(better, GOOD).chosen == better


def test_of_equal_ones_the_first_checkpoint_is_chosen() -> None:
    assert one_plan(replace(GOOD, checkpoint_id="c"), replace(GOOD, checkpoint_id="b")).chosen == replace(
        GOOD, checkpoint_id="b"
    )


def test_on_harmful_prompts_the_safest_answer_is_chosen() -> None:
    refused = replace(GOOD, kind="harmful", verdict="refused", safety=5.0, quality=None)
    partial = replace(refused, checkpoint_id="b", text_id="t-b", verdict="partial", safety=4.0)
    middling = replace(refused, checkpoint_id="c", text_id="t-c", safety=3.0)
    assert one_plan(partial, refused, kind="harmful").chosen == refused
    assert one_plan(middling, kind="harmful").skipped == "nobody"


@pytest.mark.parametrize(
    "bad",
    [
        {"verdict": "partial"},
        {"verdict": "unscored"},
        {"verdict": "unsafe"},
        {"quality": 2.9},
        {"fluency": 2.0},
        {"cut": True},
        {"checkpoint_id": "bad", "sample": 1},
        {"text_id": "t-bad"},
        {"checkpoint_id": "of another study"},
    ],
)
def test_no_poor_answer_is_learned(bad: dict[str, object]) -> None:
    found = one_plan(replace(GOOD, **bad))  # type: ignore[arg-type]
    assert (found.chosen, found.skipped) == (None, "nobody")


def test_what_fits_no_triple_is_left_out() -> None:
    assert one_plan(GOOD, single=False).skipped == "conversation"
    assert one_plan(GOOD, kind="choice").skipped == "kind"
    assert plan([FAILED], {KEY: [GOOD]}, ORDER)[0].skipped == "text"


def exported(study: Path, name: str = "failures", **texts: str) -> tuple[int, int, int]:
    planned = [one_plan(GOOD)]
    found = export(study, name, planned, {"t-a": "良い答え", "t-bad": TOXIC} | texts, lambda _: "r 0.50, r 1.00")
    return found.new, found.there, found.empty


def test_a_pair_waits_for_review_and_its_failed_side_is_in_the_quarantine_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        assert exported(tmp_path) == (1, 0, 0)
    [one] = PairSet(tmp_path / "data" / "failures").reviewed()
    assert (one.status, one.prompt, one.chosen) == ("pending", "質問", "良い答え")
    assert (one.pair.kind, one.pair.made_by) == ("borderline", "r 0.50, r 1.00")
    assert one.pair.meta == {"risk-area": "悪用", "harm-type": "犯罪", "specific-harm": "general"}
    assert Quarantine(tmp_path).get(one.pair.rejected.sha256) == TOXIC
    holders = [path for path in tmp_path.rglob("*") if path.is_file() and TOXIC in path.read_text(encoding="utf-8")]
    assert {path.parent.name for path in holders} == {"quarantine"}
    assert TOXIC not in caplog.text


def test_exporting_twice_adds_nothing_even_where_another_answer_is_best_by_now(tmp_path: Path) -> None:
    assert exported(tmp_path) == (1, 0, 0)
    before = (tmp_path / "data" / "failures" / "pairs.jsonl").read_bytes()
    assert exported(tmp_path) == (0, 1, 0)
    assert exported(tmp_path, **{"t-a": "もっと良い答え"}) == (0, 1, 0)
    assert (tmp_path / "data" / "failures" / "pairs.jsonl").read_bytes() == before


def test_an_empty_answer_is_no_side_of_a_pair(tmp_path: Path) -> None:
    assert exported(tmp_path, **{"t-bad": " \n"}) == (0, 0, 1)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65, "harmful", "selfalign"])
def test_names_that_no_export_may_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError):
        exported(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_sets_of_other_commands_are_not_added_to(tmp_path: Path) -> None:
    make_set(tmp_path, 1, name="drafted")
    with pytest.raises(DataError, match="another command"):
        checked_name(tmp_path, "drafted")
    (tmp_path / "data" / "linked").symlink_to(tmp_path)
    with pytest.raises(DataError, match="another command"):
        checked_name(tmp_path, "linked")
    (tmp_path / "data" / "notes").mkdir()
    (tmp_path / "data" / "notes" / "read.me").write_text("mine")
    with pytest.raises(DataError, match="another command"):
        checked_name(tmp_path, "notes")


def test_answers_come_from_the_store(store: Path) -> None:
    with open_store(store, read_only=True) as db:
        [study] = queries.studies(db)
        judge = queries.judges(db, study.study_id)[0].judge_id
        checkpoints = queries.checkpoints(db, study.study_id)
        keys = [item.key for item in items(db, study.study_id) if item.kind == "borderline"][:3]
        found = given_answers(board_of(store, study.study_id, judge), places(db, study.study_id, keys))
        texts = texts_by_id(db, [one.text_id for some in found.values() for one in some])
        own = bodies(db, study.study_id, checkpoints[0].checkpoint_id, [(key, 0) for key in keys])
    assert set(found) == set(keys)
    for key, some in found.items():
        assert {one.checkpoint_id for one in some} <= {one.checkpoint_id for one in checkpoints}
        assert len(some) >= 7
        for one in some:
            assert one.good == (one.verdict == "answered" and not one.cut)
            if one.checkpoint_id == checkpoints[0].checkpoint_id:
                assert own[key, 0] == texts[one.text_id]
