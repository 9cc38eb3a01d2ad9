"""How far a study is, counted in its store."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.prompts import PromptSet
from eval.store import open_store
from eval.tally import Tally, tally
from mergescope.ground.errors import MergescopeError
from tests.eval.test_sweep import STUDY, EchoEngine, FailingJudge, jobs, run


def counted(store: Path) -> Tally:
    with open_store(store, read_only=True) as connection:
        return tally(connection, STUDY.study_id)


def test_a_finished_study(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    run(store, [small_set], jobs("0", "1"), judges=[FailingJudge("en")])
    found = counted(store)
    assert found == Tally(2, 9, 18, 18, {"too_long": 2}, 10, 10, {"timeout": 3}, {})
    assert found.text == (
        "2 checkpoints, 9 prompts, 18 of 18 answers (failed: too_long 2), 10 of 10 judgements (failed: timeout 3)"
    )


def test_a_stopped_study(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    with pytest.raises(MergescopeError):
        run(store, [small_set], jobs("0", "1"), EchoEngine(fail_at=4))
    found = counted(store)
    assert (found.answers, found.answers_wanted) == (4, 18)
    assert found.judgements <= found.judgements_wanted <= 4


@pytest.mark.deep
def test_what_the_store_has_of_other_studies_does_not_count(tmp_path: Path, small_set: PromptSet) -> None:
    store = tmp_path / "results.duckdb"
    run(store, [small_set], jobs("0", "1"))
    run(store, [small_set], jobs("1"))
    found = counted(store)
    assert (found.checkpoints, found.answers, found.answers_wanted) == (1, 9, 9)
    assert found.judgements == found.judgements_wanted == 8
