"""Items of kind choice, text and jailbreak on the pages: what they count as, and where they are not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dashboard.failures.kinds import FAULTS, Looked
from dashboard.failures.outcomes import outcomes, prompts
from dashboard.store import answers, queries
from dashboard.store.board import ItemKey
from eval.scores import load_scores
from eval.store import open_store
from tests.dashboard.conftest import Pages, board_of, html
from tests.eval.guard_rows import SECOND, add_guard

CHOICE = ItemKey("guard", "choice-2")


@pytest.fixture(scope="module")
def guarded(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages' store with a guard."""
    path = tmp_path_factory.mktemp("guarded") / "results.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=True) as db:
        [study] = queries.studies(db)
    add_guard(path, study.study_id)
    return path


def test_judges_of_choices_feed_no_frontier(guarded: Path) -> None:
    with open_store(guarded, read_only=True) as db:
        [study] = queries.studies(db)
        assert [judge.kind for judge in queries.judges(db, study.study_id)] == ["proxy", "llm"]


def test_choices_are_right_or_wrong_under_every_judge(guarded: Path) -> None:
    with open_store(guarded, read_only=True) as db:
        [study] = queries.studies(db)
        proxy = queries.judges(db, study.study_id)[0].judge_id
        one = queries.checkpoints(db, study.study_id)[0].checkpoint_id
        for judge in (proxy, SECOND):
            rows = answers.verdicts(board_of(guarded, study.study_id, judge), [one])
            found = {row.key.item_key: (row.verdict, row.error_kind) for row in rows if row.key.set_name == "guard"}
            assert [found[f"choice-{i}"] for i in range(4)] == [
                ("answered", None), ("answered", None), ("wrong", None), ("unscored", "too_long")
            ]  # fmt: skip
            unsafe = ["refused", "unsafe", "unsafe"] if judge == proxy else ["unscored"] * 3
            assert [found[f"harmful-{i}~fiction"][0] for i in range(3)] == unsafe


def test_texts_are_no_prompts(guarded: Path, store: Path) -> None:
    with open_store(guarded, read_only=True) as db:
        [study] = queries.studies(db)
        judge = queries.judges(db, study.study_id)[0].judge_id
        found = answers.items(db, study.study_id)
        after = queries.overview(board_of(guarded, study.study_id, judge), queries.grid(db, study.study_id))
    with open_store(store, read_only=True) as db:
        before = queries.overview(board_of(store, study.study_id, judge), queries.grid(db, study.study_id))
    assert {item.kind for item in found} == {"harmful", "jailbreak", "borderline", "benign", "choice"}
    assert (len(found), after.prompts) == (before.prompts + 7, before.prompts + 7)
    assert after.answers == before.answers + 7 * 8
    assert after.unscored["too_long"] == before.unscored.get("too_long", 0) + 8


def test_their_failures_are_listed(guarded: Path) -> None:
    with open_store(guarded, read_only=True) as db:
        [study] = queries.studies(db)
        judge = queries.judges(db, study.study_id)[0].judge_id
        one = queries.checkpoints(db, study.study_id)[0].checkpoint_id
        asked, board = prompts(db, study.study_id), board_of(guarded, study.study_id, judge)
        for fault, keys in {
            "wrong_choice": ["choice-2"],
            "jailbroken": ["harmful-1~fiction", "harmful-2~fiction"],
        }.items():
            found = outcomes(board, one)
            failed = found.item[Looked(FAULTS[fault]).failed(found, asked)]
            assert [asked.keys[item].item_key for item in failed] == keys


def test_a_choices_reason_is_shown(guarded: Path) -> None:
    with open_store(guarded, read_only=True) as db:
        [study] = queries.studies(db)
        one = queries.checkpoints(db, study.study_id)[0].checkpoint_id
        row = answers.said(db, study.study_id, SECOND, CHOICE, [one])[one]
    scores = answers.scores(board_of(guarded, study.study_id, SECOND), CHOICE)[one]
    assert (row.text, scores, row.reasons) == ("1か2です。", {}, {"correct": "names several options: 1, 2"})


def test_another_classifiers_word_on_choices_counts_nowhere(guarded: Path, tmp_path: Path) -> None:
    """One that stands in the study calls the wrong answer right, and one that does not calls it wrong otherwise."""
    path = tmp_path / "results.duckdb"
    path.write_bytes(guarded.read_bytes())
    with open_store(path, read_only=False) as db:
        [study] = queries.studies(db)
        before = load_scores(db, study.study_id, SECOND).axes["correct"]
        for name, kind in (("imported", "imported"), ("older", "exact")):
            db.execute(
                "INSERT INTO judge VALUES (?, ?, 'classifier', ?, 'not calibrated')",
                [name, name, json.dumps({"kind": kind})],
            )
            db.execute(
                "INSERT INTO judgement BY NAME SELECT * REPLACE (judgement_id || ? AS judgement_id, ? AS judge_id) "
                "FROM judgement WHERE kind = 'choice' AND judge_id NOT IN ('imported', 'older')",
                [name, name],
            )
            db.execute(
                "INSERT INTO score SELECT judgement_id, 'correct', NULL, 'right', ? FROM judgement WHERE judge_id = ?",
                [name, name],
            )
        db.execute("INSERT INTO study_judge VALUES (?, 'imported', 1001, 1)", [study.study_id])
        after = load_scores(db, study.study_id, SECOND).axes["correct"]
        one = queries.checkpoints(db, study.study_id)[0].checkpoint_id
        row = answers.said(db, study.study_id, SECOND, CHOICE, [one])[one]
    board = board_of(path, study.study_id, SECOND)
    [verdict] = [judged.verdict for judged in answers.along(board, CHOICE) if judged.checkpoint_id == one]
    np.testing.assert_array_equal(before, after)
    assert (verdict, row.reasons) == ("wrong", {"correct": "names several options: 1, 2"})


@pytest.mark.parametrize("page", ["frontier", "compare", "failures"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_pages_hold_them(pages: Pages, guarded: Path, page: str, language: str) -> None:
    shown = pages(page, at=guarded, lang=language, fault="wrong_choice", item="guard/choice-2")
    assert not shown.exception
    if page == "compare":
        assert {"en": "wrong", "ja": "誤答"}[language] in html(shown)


def test_answers_to_jailbreaks_are_blurred(pages: Pages, guarded: Path) -> None:
    shown = html(pages("compare", at=guarded, item="guard/harmful-0~fiction"))
    assert "answer worth 5.0" in shown
    assert "show this answer to a harmful prompt" in shown
