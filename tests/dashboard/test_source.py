"""The store is opened only when it has changed, and left alone for a while where a sweep is writing it."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from duckdb import DuckDBPyConnection

from dashboard.store import queries, source, states
from dashboard.store.board import NOT_ANSWERED, Board
from dashboard.store.memo import Memo
from dashboard.store.place import STORE_VARIABLE
from eval.store import open_store
from mergescope.ground.errors import StoreError
from tests.eval.synthetic_store import make_synthetic_store

OTHER = "INSERT INTO study VALUES ('y1_other', 'other', '{}', '')"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    store = tmp_path / "results.duckdb"
    make_synthetic_store(store, ratios=2, prompts=6)
    monkeypatch.setenv(STORE_VARIABLE, str(store))
    quiet(store)
    return store


def counted(board: Board) -> int:
    """How many answers there are."""
    return int((board.verdict != NOT_ANSWERED).sum())


def quiet(store: Path) -> None:
    """As if the last commit were long ago."""
    past = store.stat().st_mtime - 10
    os.utime(store, (past, past))


def commit(store: Path) -> None:
    with open_store(store, read_only=False) as db:
        db.execute(OTHER)
        db.execute("UPDATE revision SET counter = counter + 1")


def shown() -> list[str]:
    source.look()
    return [study.name for study in source.ask(queries.studies)]


def test_an_unchanged_store_is_not_opened(path: Path) -> None:
    assert shown() == ["synthetic"]
    with open_store(path, read_only=False):  # now nobody else can read it
        assert shown() == ["synthetic"]


def test_a_store_that_is_being_written_rests(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown() == ["synthetic"]
    monkeypatch.setattr(states, "REST", 1e9)
    commit(path)
    assert shown() == ["synthetic"]
    monkeypatch.setattr(states, "LONGEST_REST_S", 0.0)
    assert shown() == ["other", "synthetic"]


def test_the_rest_is_a_multiple_of_the_reading(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown() == ["synthetic"]
    monkeypatch.setattr(states, "REST", 0)
    commit(path)
    assert shown() == ["other", "synthetic"]


def test_a_store_that_is_quiet_again_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown() == ["synthetic"]
    monkeypatch.setattr(states, "REST", 1e9)
    commit(path)
    quiet(path)
    assert shown() == ["other", "synthetic"]


def test_another_file_in_its_place_is_read_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown() == ["synthetic"]
    monkeypatch.setattr(states, "REST", 1e9)
    copy = path.with_name("copy.duckdb")
    copy.write_bytes(path.read_bytes())
    commit(copy)
    copy.replace(path)
    assert shown() == ["other", "synthetic"]


def test_a_missing_store_is_found_when_it_comes(path: Path) -> None:
    away = path.rename(path.with_name("away.duckdb"))
    source.look()
    with pytest.raises(StoreError, match="no results yet"):
        source.ask(queries.studies)
    away.rename(path)
    assert shown() == ["synthetic"]


def test_a_query_that_fails_is_asked_again(path: Path) -> None:
    calls: list[str] = []

    def failing(_db: DuckDBPyConnection) -> str:
        calls.append("asked")
        if len(calls) == 1:
            raise StoreError("held", where=path)
        return "found"

    source.look()
    with pytest.raises(StoreError):
        source.ask(failing)
    assert source.ask(failing) == source.ask(failing) == "found"
    assert len(calls) == 2


def test_what_is_reckoned_is_kept_until_a_checkpoint_changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "REST", 0)
    source.look()
    [study] = source.ask(queries.studies)
    [judge] = source.ask(queries.judges, study.study_id)
    worked: list[Board] = []

    def noting(board: Board, factor: int) -> int:
        worked.append(board)
        return factor * counted(board)

    def told() -> int:
        source.look()
        return source.reckon(noting, study.study_id, judge.judge_id, 2)

    assert told() == told() == 2 * 6 * 5
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE revision SET counter = counter + 1 WHERE checkpoint_id = ''")  # estimates, not answers
    assert told() == 60
    assert len(worked) == 1
    commit(path)
    assert told() == 60
    assert len(worked) == 2


def test_a_store_that_is_held_shows_its_last_state(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "REST", 0)
    assert shown() == ["synthetic"]
    with open_store(path, read_only=False) as db:
        db.execute(OTHER)
        db.execute("CHECKPOINT")  # the file changes while it is held
        started = time.monotonic()
        assert shown() == ["synthetic"]
        assert time.monotonic() - started < states.PATIENCE_S / 2
        db.execute("UPDATE revision SET counter = counter + 1")
    assert shown() == ["other", "synthetic"]


def test_threads_that_ask_for_the_same_wait_for_one() -> None:
    memo = Memo()
    calls: list[int] = []

    def slow() -> int:
        calls.append(1)
        time.sleep(0.1)
        return len(calls)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: memo.get("key", slow), range(8))) == [1] * 8


def test_only_the_latest_are_kept() -> None:
    memo = Memo(2)
    calls: list[str] = []
    for key in ("a", "b", "a", "c", "a", "b"):
        memo.get(key, lambda key=key: calls.append(key))  # type: ignore[misc]  # a default cannot be inferred
    assert calls == ["a", "b", "c", "b"]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state counts as one that takes long, and may be followed by another at once."""
    monkeypatch.setattr(states, "SLOW_S", -1.0)
    monkeypatch.setattr(states, "REST", 0)


def until(expected: list[str]) -> None:
    deadline = time.monotonic() + 30
    while (found := shown()) != expected:
        assert found == ["synthetic"]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.usefixtures("slow")
def test_nobody_waits_for_the_next_state_of_a_slow_store(path: Path) -> None:
    asked: list[tuple[str, int]] = []

    def noting(board: Board, factor: int) -> int:
        asked.append((threading.current_thread().name, factor))
        return factor * counted(board)

    assert shown() == ["synthetic"]
    [study] = source.ask(queries.studies)
    [judge] = source.ask(queries.judges, study.study_id)
    assert source.reckon(noting, study.study_id, judge.judge_id, 2) == 60
    commit(path)
    assert shown() == ["synthetic"]  # the next one is only begun
    until(["other", "synthetic"])
    assert source.reckon(noting, study.study_id, judge.judge_id, 2) == 60
    assert asked == [(threading.current_thread().name, 2), ("next state", 2)]


@pytest.mark.usefixtures("slow")
def test_while_one_is_worked_out_nobody_looks_and_another_file_is_shown_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(states, "AHEAD", [lambda: let_go.wait(30)])
    copy = path.with_name("copy.duckdb")
    assert shown() == ["synthetic"]
    commit(path)
    copy.write_bytes(path.read_bytes())
    try:
        assert shown() == ["synthetic"]
        quiet(path)  # the sweep has ended, and its last state is still worked out
        assert shown() == ["synthetic"]
        with open_store(copy, read_only=False) as db:
            db.execute("DELETE FROM study WHERE name <> 'other'")
        copy.replace(path)
        assert shown() == ["other"]
    finally:
        let_go.set()
    deadline = time.monotonic() + 30
    while any(thread.name == "next state" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert shown() == ["other"]  # what was worked out meanwhile is of the file before


@pytest.mark.usefixtures("slow")
def test_what_cannot_be_worked_out_again_holds_nothing_up(path: Path) -> None:
    gone: list[bool] = []

    def failing(_: object) -> str:
        if gone:
            raise KeyError("no such checkpoint any more")
        return "found"

    assert shown() == ["synthetic"]
    [study] = source.ask(queries.studies)
    [judge] = source.ask(queries.judges, study.study_id)
    assert source.ask(failing) == source.reckon(failing, study.study_id, judge.judge_id) == "found"
    gone.append(True)
    commit(path)
    until(["other", "synthetic"])
    with pytest.raises(KeyError):
        source.ask(failing)
    with pytest.raises(KeyError):
        source.reckon(failing, study.study_id, judge.judge_id)


def ids_of(path: Path) -> tuple[str, str]:
    with open_store(path, read_only=True) as db:
        (found,) = db.execute("SELECT study_id, judge_id FROM study_judge LIMIT 1").fetchall()
    return found[0], found[1]


def test_a_file_that_comes_while_the_one_before_is_read_is_shown_when_that_has_ended(path: Path) -> None:
    copy = path.with_name("copy.duckdb")
    copy.write_bytes(path.read_bytes())
    commit(copy)
    inside, let_go = threading.Event(), threading.Event()

    def lingering(db: DuckDBPyConnection) -> int:
        inside.set()
        let_go.wait(30)
        return len(queries.studies(db))

    def read() -> None:
        with source.outside_pages():
            source.ask(lingering)

    assert shown() == ["synthetic"]
    reading = threading.Thread(target=read)
    reading.start()
    try:
        assert inside.wait(30)
        copy.replace(path)
        threading.Timer(0.3, let_go.set).start()
        assert shown() == [
            "other",
            "synthetic",
        ]  # it waits: the new name over old rows would stay
    finally:
        let_go.set()
        reading.join()
    assert shown() == ["other", "synthetic"]


@pytest.mark.usefixtures("slow")
def test_a_board_that_fails_aside_is_read_by_the_page_and_holds_nothing_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown() == ["synthetic"]
    study, judge = ids_of(path)
    assert source.reckon(counted, study, judge) == 30
    real = states.brought_up

    def failing(*args: Any) -> Board:
        if threading.current_thread().name == "next state":
            raise IndexError("no such row")
        return real(*args)

    monkeypatch.setattr(states, "brought_up", failing)
    commit(path)
    until(["other", "synthetic"])
    assert source.reckon(counted, study, judge) == 30


def test_a_store_made_anew_with_a_lower_revision_has_a_board_of_its_own(path: Path) -> None:
    """The system may give it the number of the one that was deleted."""
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE revision SET counter = counter + 1000")
    quiet(path)
    assert shown() == ["synthetic"]
    study, judge = ids_of(path)
    assert source.reckon(counted, study, judge) == 30
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE revision SET counter = counter - 1000")
        db.execute("DELETE FROM study_checkpoint WHERE role = 'merge'")
    quiet(path)
    assert shown() == ["synthetic"]
    assert source.reckon(counted, study, judge) < 30


@pytest.mark.usefixtures("slow")
def test_where_no_thread_is_to_be_had_the_next_look_tries_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    assert shown() == ["synthetic"]
    commit(path)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        assert shown() == ["synthetic"]
    until(["other", "synthetic"])
