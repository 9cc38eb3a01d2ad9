"""Answers as arrays against the relation of single answers, and against the metrics of the very same rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dashboard.failures.grid import columns, tallies
from dashboard.failures.kinds import FAULTS, Looked, error_counts, judge_of
from dashboard.failures.outcomes import Outcomes, Prompts, outcomes, prompts, token_counts
from dashboard.failures.tables import token_table
from dashboard.store import queries
from dashboard.store.board import VERDICTS
from dashboard.store.queries import JudgeRow
from eval.lengths import answer_lengths, mean_lengths
from eval.scores import load_scores
from eval.store import open_store
from tests.dashboard.conftest import board_of
from tests.dashboard.judged_sql import judged_answers


@pytest.fixture(scope="module")
def ids(store: Path) -> tuple[str, str]:
    """Study and judge."""
    with open_store(store, read_only=True) as db:
        [study] = queries.studies(db)
        return study.study_id, queries.judges(db, study.study_id)[0].judge_id


@pytest.fixture(scope="module")
def asked(store: Path, ids: tuple[str, str]) -> Prompts:
    with open_store(store, read_only=True) as db:
        return prompts(db, ids[0])


@pytest.fixture(scope="module")
def found(store: Path, ids: tuple[str, str]) -> dict[str, Outcomes]:
    """By checkpoint."""
    board = board_of(store, *ids)
    return {name: outcomes(board, name) for name in board.rows}


def test_items_stand_as_in_score_tables(store: Path, ids: tuple[str, str], asked: Prompts) -> None:
    with open_store(store, read_only=True) as db:
        items = load_scores(db, *ids).items
    assert asked.kind.tolist() == items.kind.tolist()
    assert [key.set_name for key in asked.keys] == items.set_name.tolist()
    assert np.unique(asked.group).size == np.unique(items.group).size
    assert asked.single.all()


def test_outcomes_are_those_of_single_answers(
    store: Path, ids: tuple[str, str], asked: Prompts, found: dict[str, Outcomes]
) -> None:
    with open_store(store, read_only=True) as db:
        rows = db.execute(
            f"WITH {judged_answers()} SELECT checkpoint_id, set_name, item_key, verdict, fluency, finish_reason, "
            "error_kind FROM judged",
            {"study": ids[0], "judge": ids[1]},
        ).fetchall()
    places = {(key.set_name, key.item_key): place for place, key in enumerate(asked.keys)}
    assert len(rows) == sum(some.item.size for some in found.values()) == 36 * 8
    for checkpoint, set_name, key, verdict, fluency, finish, error in rows:
        some = found[checkpoint]
        [at] = np.flatnonzero(some.item == places[set_name, key])
        assert VERDICTS[some.verdict[at]] == verdict
        assert some.fluency[at] == pytest.approx(fluency if fluency is not None else np.nan, nan_ok=True)
        assert some.cut[at] == (-1 if finish is None else finish == "length")
        assert (some.errors[some.error[at]] if some.error[at] >= 0 else None) == error


def test_a_checkpoint_that_is_not_on_the_board_has_no_answers_yet(store: Path, ids: tuple[str, str]) -> None:
    some = outcomes(board_of(store, *ids), "c1_new")
    assert some.item.size == some.verdict.size == some.error.size == 0


@pytest.mark.parametrize(
    ("fault", "metric"),
    [
        ("over_refusal", "over_refusal_rate"),
        ("full_over_refusal", "full_refusal_rate"),
        ("unsafe", "violation_rate"),
    ],
)
def test_failures_agree_with_the_metrics(
    store: Path, ids: tuple[str, str], asked: Prompts, found: dict[str, Outcomes], fault: str, metric: str
) -> None:
    with open_store(store, read_only=True) as db:
        shown = columns(queries.checkpoints(db, ids[0]), None)
        values = {
            row.checkpoint_id: row.value for row in queries.estimates(db, *ids, "all", "all") if row.metric == metric
        }
    made = tallies(Looked(FAULTS[fault]), asked, found, shown)
    whole = [tally for tally in made if not tally.category]
    assert len(whole) == len(values) == 8
    for tally in whole:
        [part] = tally.apart
        assert tally.failed / tally.among == pytest.approx(values[part.checkpoint.checkpoint_id])
        parts = [one for one in made if one.category and one.column == tally.column]
        assert (sum(p.failed for p in parts), sum(p.among for p in parts)) == (tally.failed, tally.among)


def test_full_and_partial_refusals_make_all_of_them(asked: Prompts, found: dict[str, Outcomes]) -> None:
    for some in found.values():
        whole, full, partial = (
            Looked(FAULTS[name]).failed(some, asked)
            for name in ("over_refusal", "full_over_refusal", "partial_over_refusal")
        )
        assert (whole == (full ^ partial)).all()
        assert not (full & partial).any()


def test_broken_texts_are_those_that_do_not_read_well(asked: Prompts, found: dict[str, Outcomes]) -> None:
    looked = Looked(FAULTS["broken"])
    for some in found.values():
        assert (looked.failed(some, asked) == (some.fluency < 3)).all()


def test_unscored_answers_by_kind_of_error(asked: Prompts, found: dict[str, Outcomes]) -> None:
    seen = set()
    for some in found.values():
        counts = error_counts(some)
        unscored = Looked(FAULTS["unscored"])
        assert unscored.failed(some, asked).sum() == sum(counts.values())
        for error, count in counts.items():
            seen.add(error)
            assert Looked(FAULTS["unscored"], error).failed(some, asked).sum() == count
        assert not Looked(FAULTS["unscored"], "no-such-error").failed(some, asked).any()
    assert seen


def test_broken_texts_are_told_by_the_proxy() -> None:
    llm, proxy = (JudgeRow(kind, kind, kind, "trusted") for kind in ("llm", "proxy"))
    assert judge_of(FAULTS["broken"], [llm, proxy]) == proxy
    assert judge_of(FAULTS["broken"], [llm]) == llm
    assert judge_of(FAULTS["unsafe"], [llm, proxy]) == llm


def test_lengths_are_the_evaluations_own(
    store: Path, ids: tuple[str, str], asked: Prompts, found: dict[str, Outcomes]
) -> None:
    with open_store(store, read_only=True) as db:
        told = answer_lengths(db, ids[0], load_scores(db, *ids))
        tokens = token_counts(db, ids[0], list(found))
    table = token_table(asked, found, tokens)
    for kind in ("harmful", "borderline", "benign"):
        mine = dict(zip(table.checkpoints, mean_lengths(table, kind, "tokens"), strict=True))
        theirs = {one.checkpoint_id: one.tokens for one in told if one.kind == kind}
        assert {name: one.value for name, one in mine.items()} == pytest.approx(
            {name: one.value for name, one in theirs.items()}
        )
