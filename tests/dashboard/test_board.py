"""The board follows the store a checkpoint at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from duckdb import DuckDBPyConnection

from dashboard.store import board as boards
from dashboard.store.board import NOT_ANSWERED, VERDICTS, Board, brought_up
from eval.store import open_store
from tests.dashboard.judged_sql import judged_answers
from tests.eval.guard_rows import add_guard
from tests.eval.synthetic_store import make_synthetic_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    store = tmp_path / "results.duckdb"
    add_guard(store, make_synthetic_store(store, ratios=3, prompts=24, estimates=False))
    return store


def read(path: Path, before: Board | None = None) -> Board:
    @contextmanager
    def opened() -> Iterator[DuckDBPyConnection]:
        with open_store(path, read_only=True) as db:
            yield db

    with opened() as db:
        [(study, judge), *_] = db.execute("SELECT study_id, judge_id FROM study_judge ORDER BY position").fetchall()
    return brought_up(before, opened, study, judge)


def test_verdicts_are_those_of_the_queries(path: Path) -> None:
    board = read(path)
    with open_store(path, read_only=True) as db:
        [(study, judge), *_] = db.execute("SELECT study_id, judge_id FROM study_judge ORDER BY position").fetchall()
        rows = db.execute(
            f"WITH {judged_answers()} "
            "SELECT checkpoint_id, set_name, item_key, verdict, error_kind, finish_reason, text_id FROM judged",
            {"study": study, "judge": judge},
        ).fetchall()
    assert len(rows) == (board.verdict != NOT_ANSWERED)[:, board.spoken].sum()
    for checkpoint, name, key, verdict, error, finish, text in rows:
        at = board.rows[checkpoint], board.places[boards.ItemKey(name, key)], 0
        assert VERDICTS[board.verdict[at]] == verdict
        assert board.error[at] == error
        assert board.cut[at] == (finish == "length")
        assert board.given[at] == (text is not None)


def test_only_what_changed_is_read_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    real = boards.read_pieces

    def noting(*args: object) -> object:
        asked.append(list(args[-1]))  # type: ignore[call-overload]  # the last one is the ids
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(boards, "read_pieces", noting)
    first = read(path)
    assert asked == [list(first.rows)]
    assert read(path, first) is first
    one = list(first.rows)[2]
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE score SET value = 1 WHERE axis = 'safety'")
        db.execute("UPDATE revision SET counter = counter + 1 WHERE checkpoint_id = ?", [one])
    second = read(path, first)
    assert asked[1:] == [[one]]
    safety = [board.table.axes["safety"] for board in (first, second)]
    for name, row in first.rows.items():
        assert np.array_equal(safety[0][row], safety[1][row], equal_nan=True) == (name != one)


def test_a_set_that_joins_changes_all(path: Path) -> None:
    first = read(path)
    with open_store(path, read_only=False) as db:
        db.execute("DELETE FROM study_set WHERE set_id = (SELECT min(set_id) FROM study_set)")
    second = read(path, first)
    assert second.table.items.kind.size < first.table.items.kind.size
    assert second.verdict.shape[1] == second.table.items.kind.size


def test_a_checkpoint_that_leaves_is_gone(path: Path) -> None:
    first = read(path)
    gone = next(iter(first.rows))
    with open_store(path, read_only=False) as db:
        db.execute("DELETE FROM study_checkpoint WHERE checkpoint_id = ?", [gone])
    second = read(path, first)
    assert list(second.rows) == [name for name in first.rows if name != gone]
    np.testing.assert_array_equal(second.verdict, first.verdict[1:])
