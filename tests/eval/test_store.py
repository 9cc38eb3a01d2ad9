"""The store: sealed, versioned, refused clearly where it is not ours, whole after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from eval.identity import storable, text_id
from eval.migrate import back_up, migration_names
from eval.rows import AnswerRow, AnswerTurnRow, EstimateRow, JudgementRow, Row, ScoreRow, TextRow
from eval.store import open_store, store_revision
from eval.writer import StoreWriter, Touched, write_rows
from mergescope.ground.errors import StoreError
from tests.eval.synthetic_store import count_rows, make_synthetic_store

SCHEMA = (Path(__file__).parent / "schema.txt").read_text(encoding="utf-8")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "results.duckdb"
    with open_store(path, read_only=False):
        pass
    return path


def test_the_final_schema_is_the_one_written_down(store: Path) -> None:
    with open_store(store, read_only=True) as connection:
        tables = connection.execute(
            """SELECT table_name || ': ' || string_agg(
              column_name || ' ' || data_type || CASE WHEN is_nullable THEN '' ELSE ' !' END,
              ', ' ORDER BY column_index)
            FROM duckdb_columns() WHERE NOT internal GROUP BY table_name ORDER BY table_name"""
        ).fetchall()
    assert "".join(f"{row[0]}\n" for row in tables) == SCHEMA


def test_a_missing_store_says_what_to_run(tmp_path: Path) -> None:
    with (
        pytest.raises(StoreError, match=r"no results yet.*mergescope run"),
        open_store(tmp_path / "none.duckdb", read_only=True),
    ):
        pass


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    path.write_text("not a database\n" * 500)
    with pytest.raises(StoreError, match="not a results file"), open_store(path, read_only=False):
        pass
    assert path.read_text().startswith("not a database")


def test_another_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    with pytest.raises(StoreError, match="not a results file of mergescope"), open_store(path, read_only=False):
        pass
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(1,)]


def test_a_newer_store_is_refused(store: Path) -> None:
    with duckdb.connect(str(store)) as connection:
        connection.execute("INSERT INTO schema_version (name) VALUES ('999_from_the_future')")
    with (
        pytest.raises(StoreError, match=r"newer version.*999_from_the_future.*update"),
        open_store(store, read_only=True),
    ):
        pass


@pytest.mark.parametrize("foreign", ["CREATE VIEW score_view AS SELECT 1", "CREATE MACRO sly(x) AS x + 1"])
def test_views_and_macros_of_others_are_refused(store: Path, foreign: str) -> None:
    with duckdb.connect(str(store)) as connection:
        connection.execute(foreign)
    with pytest.raises(StoreError, match="foreign"), open_store(store, read_only=True):
        pass


@pytest.mark.parametrize(
    "query",
    ["SELECT * FROM read_csv('/etc/hostname')", "ATTACH '/tmp/other.duckdb'", "SET threads = 1", "INSTALL httpfs"],
)
def test_a_query_reaches_nothing_outside(store: Path, query: str) -> None:
    with open_store(store, read_only=True) as connection, pytest.raises(duckdb.Error):
        connection.execute(query)


def test_a_held_store_is_waited_for_then_named(store: Path) -> None:
    holder = _hold(store)
    try:
        started = time.monotonic()
        with (
            pytest.raises(StoreError, match="held by another process"),
            open_store(store, read_only=True, patience_s=0.3),
        ):
            pass
        assert time.monotonic() - started >= 0.3
    finally:
        holder.kill()
        holder.wait()
    with open_store(store, read_only=True, patience_s=5):
        pass


def _hold(store: Path) -> subprocess.Popen[str]:
    code = f"import duckdb, time; c = duckdb.connect({str(store)!r}); print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_content_is_written_once_and_revisions_rise(store: Path) -> None:
    writer = StoreWriter(store, commit_seconds=0)
    for body in ("first", "second"):  # the same id: content under an id never changes
        writer.add([TextRow("t1_x", body)], [Touched("c1_a", "j1_b", "s1_c")])
        writer.flush()
    with open_store(store, read_only=True) as connection:
        assert connection.execute("SELECT body FROM text").fetchall() == [("first",)]
        assert store_revision(connection) == 2


def test_estimates_are_replaced(store: Path) -> None:
    for value in (0.25, 0.75):
        with open_store(store, read_only=False) as connection:
            row = EstimateRow("y", "c", "j", "safety", "all", "all", value, None, None, 1, 0, None, None, None)
            write_rows(connection, [row])
    with open_store(store, read_only=True) as connection:
        assert connection.execute("SELECT value FROM estimate").fetchall() == [(0.75,)]


def test_a_bad_row_takes_its_whole_commit_back(store: Path) -> None:
    rows = [TextRow("t1_good", "good"), ScoreRow("v1_x", "safety", None, None, None)]  # neither value nor label
    with open_store(store, read_only=False) as connection, pytest.raises(duckdb.ConstraintException):
        write_rows(connection, rows)
    assert count_rows(store)["text"] == 0


def _answer(error: str | None, *turns: str) -> list[Row]:
    told = [AnswerTurnRow("a", number, turn, "stop", 1) for number, turn in enumerate(turns)]
    return [AnswerRow("a", "c", "q", "g", 0, error, None if error else "+".join(turns)), *told]


def _judgement(error: str | None) -> list[Row]:
    scores = [] if error else [ScoreRow("v", "safety", 4.0, None, None)]
    return [JudgementRow("v", "j", "q", "harmful", "t", None, 0, "m", None, None, None, error), *scores]


@pytest.mark.parametrize(
    ("first", "then", "kept"),
    [
        (_answer(None, "x", "y"), _answer("timeout", "z"), [(None, "x+y", "x"), (None, "x+y", "y")]),
        (_answer("timeout", "z"), _answer(None, "x", "y"), [(None, "x+y", "x"), (None, "x+y", "y")]),
        (_answer("timeout", "z"), _answer("server"), [("server", None, None)]),
        (_answer(None, "x", "y"), _answer(None, "z", "w"), [(None, "x+y", "x"), (None, "x+y", "y")]),
    ],
)
def test_an_answer_gives_way_only_where_it_failed(
    store: Path, first: list[Row], then: list[Row], kept: list[tuple[str | None, ...]]
) -> None:
    for rows in (first, then):
        with open_store(store, read_only=False) as connection:
            write_rows(connection, rows)
    with open_store(store, read_only=True) as connection:
        query = "SELECT error_kind, a.text_id, t.text_id FROM answer a LEFT JOIN answer_turn t USING (answer_id)"
        assert connection.execute(f"{query} ORDER BY turn").fetchall() == kept


@pytest.mark.parametrize("errors", [(None, "timeout"), ("timeout", None)])
def test_a_judgement_gives_way_only_where_it_failed(store: Path, errors: tuple[str | None, ...]) -> None:
    for error in errors:
        with open_store(store, read_only=False) as connection:
            write_rows(connection, _judgement(error))
    with open_store(store, read_only=True) as connection:
        found = connection.execute("SELECT error_kind, value FROM judgement JOIN score USING (judgement_id)").fetchall()
    assert found == [(None, 4.0)]


def test_nan_is_no_score(store: Path) -> None:
    with open_store(store, read_only=False) as connection, pytest.raises(duckdb.ConstraintException):
        write_rows(connection, [ScoreRow("v1_x", "safety", float("nan"), None, None)])


@pytest.mark.parametrize("text", ["nul \x00 inside", "rtl \u202e mark", "あ" * 100_000, "line\r\nend", ""])
def test_hostile_texts_come_back_as_they_went(store: Path, text: str) -> None:
    with open_store(store, read_only=False) as connection:
        write_rows(connection, [TextRow(text_id(text), text)])
        assert connection.execute("SELECT body FROM text").fetchall() == [(text,)]


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert storable("a\ud800b") == "a\ufffdb"
    assert storable("𠮟") == "𠮟"


def test_commits_keep_their_distance(store: Path) -> None:
    writer = StoreWriter(store, commit_seconds=0.3)
    writer.add([TextRow("t1_a", "a")])
    assert writer.flush()
    writer.add([TextRow("t1_b", "b")])
    assert not writer.flush()
    assert count_rows(store)["text"] == 1  # others read in between
    assert writer.flush(wait=True)
    assert count_rows(store)["text"] == 2


def test_committed_rows_outlive_a_killed_writer(store: Path) -> None:
    code = f"""
from collections.abc import Callable
from pathlib import Path
from eval.rows import TextRow
from eval.store import open_store
from eval.writer import StoreWriter, write_rows
store = Path({str(store)!r})
writer = StoreWriter(store, commit_seconds=0)
for i in range(3):
    writer.add([TextRow(f"t1_{{i}}", "kept")])
    writer.flush()
with open_store(store, read_only=False) as connection:
    connection.begin()
    connection.execute("INSERT INTO text VALUES ('t1_lost', 'lost')")
    print("in the middle", flush=True)
    input()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in the middle\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with open_store(store, read_only=True) as connection:
        ids = connection.execute("SELECT text_id FROM text ORDER BY 1").fetchall()
    assert ids == [("t1_0",), ("t1_1",), ("t1_2",)]


def test_an_older_store_is_backed_up_before_a_migration(store: Path) -> None:
    assert back_up(store, migration_names()[0]) is None  # a fresh file holds nothing to keep
    copy = back_up(store, "002_later")
    assert copy is not None
    assert copy.read_bytes() == store.read_bytes()


def test_merges_of_an_older_store_are_blends(tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    first = (ROOT / "eval" / "migrations" / "001_first_tables.sql").read_text(encoding="utf-8")
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE schema_version (name VARCHAR PRIMARY KEY, applied_at TIMESTAMPTZ)")
        connection.execute("INSERT INTO schema_version VALUES ('001_first_tables', current_timestamp)")
        connection.execute(first)
        connection.execute(
            "INSERT INTO checkpoint (checkpoint_id, kind, label, recipe) VALUES ('a', 'merge', 'r', '{}')"
        )
        connection.execute(
            "INSERT INTO checkpoint (checkpoint_id, kind, label, recipe) VALUES ('b', 'base', 'b', '{}')"
        )
    with open_store(path, read_only=False) as connection:
        rows = connection.execute("SELECT way, int8_mask, gradient FROM checkpoint ORDER BY checkpoint_id").fetchall()
    assert rows == [("blend", False, []), (None, None, None)]
    assert path.with_name("results.duckdb.before-002_merges_by_mergekit").exists()


def test_samples_of_an_older_store_are_those_of_the_study_s_own_sampling(tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE schema_version (name VARCHAR PRIMARY KEY, applied_at TIMESTAMPTZ)")
        for name in migration_names()[:2]:
            connection.execute((ROOT / "eval" / "migrations" / f"{name}.sql").read_text(encoding="utf-8"))
            connection.execute("INSERT INTO schema_version VALUES (?, current_timestamp)", [name])
        for study, sampling, samples in (("greedy", "g0", 1), ("warm", "g1", 3), ("unasked", "g2", 0)):
            connection.execute("INSERT INTO study_checkpoint VALUES (?, 'c', 'base')", [study])
            connection.execute("INSERT INTO study_sampling VALUES (?, ?)", [study, sampling])
            for ix in range(samples):
                values = [f"{sampling}-{ix}", sampling, ix]
                connection.execute("INSERT INTO answer VALUES ($1, 'c', 'q', $2, $3, NULL)", values)
    with open_store(path, read_only=False) as connection:
        rows = connection.execute("SELECT study_id, sampling_id, samples FROM study_checkpoint ORDER BY 2").fetchall()
    assert rows == [("greedy", "g0", 1), ("warm", "g1", 3), ("unasked", "g2", 1)]


def test_judgements_of_an_older_store_stay_with_nothing_said_of_what_they_took(tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE schema_version (name VARCHAR PRIMARY KEY, applied_at TIMESTAMPTZ)")
        for name in migration_names()[:3]:
            connection.execute((ROOT / "eval" / "migrations" / f"{name}.sql").read_text(encoding="utf-8"))
            connection.execute("INSERT INTO schema_version VALUES (?, current_timestamp)", [name])
        connection.execute(
            "INSERT INTO judgement VALUES ('v', 'j', 'q', 'benign', 't', NULL, 0, 'm', NULL, 15, 0.5, NULL)"
        )
    with open_store(path, read_only=False) as connection:
        found = connection.execute(
            "SELECT tokens, cost, prompt_tokens, completion_tokens, currency, output FROM judgement"
        ).fetchall()
    assert found == [(15, 0.5, None, None, None, None)]


def test_the_invented_store_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "a.duckdb", tmp_path / "b.duckdb"
    for path in (first, second):
        make_synthetic_store(path, ratios=3, prompts=12, estimates=False)
    assert count_rows(first) == count_rows(second)


def test_a_full_disk_is_said_and_loses_nothing(small_disk: Callable[[int], Path]) -> None:
    path = small_disk(3 << 20) / "results.duckdb"
    writer = StoreWriter(path, commit_seconds=0.0)
    with pytest.raises(StoreError, match=r"the disk is full; what was committed is safe; free some room"):
        for batch in range(100):
            writer.add([TextRow(f"t{batch}-{i}", os.urandom(400).hex()) for i in range(100)])
            writer.flush()
    with open_store(path, read_only=True) as connection:
        kept = connection.execute("SELECT count(*) FROM text").fetchall()[0][0]
    assert kept == 100 * batch > 0
    subprocess.run(["mount", "-o", "remount,size=30m", str(path.parent)], check=True)
    assert writer.flush()  # the rows were kept for another try
    with open_store(path, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM text").fetchall() == [(kept + 100,)]


def test_a_disk_without_any_room_is_said(small_disk: Callable[[int], Path]) -> None:
    path = small_disk(4096) / "results.duckdb"
    with pytest.raises(StoreError, match="the disk is full"), open_store(path, read_only=False):
        pass
