"""Writing to the store: rows gathered, then one short transaction, at most one a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from eval.rows import (
    AnswerRow,
    AnswerTurnRow,
    CalibrationRow,
    CheckpointRow,
    EstimateRow,
    JudgementRow,
    Row,
    StudyCheckpointRow,
    StudyJudgeRow,
    StudyPairRow,
    StudyRow,
)
from eval.store import open_store

COMMIT_SECONDS = 1.0
"""Least time between two commits, so that readers find the file free."""
_LINKS = ("study_checkpoint", "study_set", "study_judge")
_KEPT = {
    "study_checkpoint": "AND role <> 'imported'",
    "study_judge": "AND judge_id NOT IN (SELECT judge_id FROM judge WHERE setting->>'$.kind' = 'imported')",
}
"""Links that a recipe does not name and a new run leaves: those that `mergescope import` made."""
_REPLACED = {row.TABLE for row in (CalibrationRow, EstimateRow, StudyRow, StudyCheckpointRow, StudyJudgeRow)}
"""Tables whose rows may change: computed anew, or asked for more often.

All others hold content under its own id, which never changes, but for answers and judgements that failed.
"""
_MAY_FAIL = {AnswerRow.TABLE: "answer_id", JudgementRow.TABLE: "judgement_id"}
"""Tables whose rows give way to another try while they hold a failure, and only then, with their ids."""
_NAMED = ("served", "other")
"""Roles of checkpoints that a recipe tells apart by name; of the others a study has one, or names all at once."""


@dataclass(frozen=True, slots=True)
class Touched:
    """What a commit changed, as finely as pages cache; an empty string stands for all or none."""

    checkpoint_id: str = ""
    judge_id: str = ""
    set_id: str = ""


class StoreWriter:
    """Gathers rows and commits them; the store is open only during a commit. Threads of one process may share it."""

    def __init__(self, path: Path, *, commit_seconds: float = COMMIT_SECONDS) -> None:
        self._path = path
        self._commit_seconds = commit_seconds
        self._rows: list[Row] = []
        self._touched: set[Touched] = set()
        self._committed = -commit_seconds
        self._lock = threading.RLock()

    def add(self, rows: Iterable[Row], touched: Iterable[Touched] = ()) -> None:
        """Queue rows; rows added together are committed together. An id that the store has already is left alone."""
        with self._lock:
            self._rows.extend(rows)
            self._touched.update(touched)

    def flush(self, *, wait: bool = False) -> bool:
        """Commit what is queued if the last commit is long enough ago (or after waiting for that, with `wait`).

        Returns whether nothing is queued any more. Raises StoreError where the store cannot be opened or its disk
        is full; the rows stay queued then.
        """
        if wait and (self._rows or self._touched):
            time.sleep(max(self._pause(), 0.0))
        with self._lock:
            if not self._rows and not self._touched:
                return True
            if self._pause() > 0 and not wait:
                return False
            with open_store(self._path, read_only=False) as connection:
                write_rows(connection, self._rows, self._touched)
            self._rows, self._touched = [], set()
            self._committed = time.monotonic()
            return True

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """No other thread commits during the block, so that it may open the store by itself."""
        with self._lock:
            yield

    def _pause(self) -> float:
        return self._committed + self._commit_seconds - time.monotonic()


def write_rows(connection: duckdb.DuckDBPyConnection, rows: Sequence[Row], touched: Iterable[Touched] = ()) -> None:
    """All rows and the raised revisions in one transaction; on any error nothing of it is kept."""
    with _transaction(connection):
        _write(connection, rows, set(touched) or {Touched()})


def link_study(connection: duckdb.DuckDBPyConnection, study_id: str, rows: Sequence[Row], *, keep: bool) -> None:
    """Write a study and its links in place of those that it had; what it no longer links to stays in the store.

    keep: whether this run is about some checkpoints only. Then others stay linked, those that it is about are linked
    as they are now and no longer as they were, and the recipe stays the one that all were last evaluated by.
    """
    with _transaction(connection):
        for table in _LINKS:
            if keep and table == StudyCheckpointRow.TABLE:
                _unlink_same(connection, study_id, rows)
            else:
                _unlink(connection, table, study_id)
        known = connection.execute("SELECT 1 FROM study WHERE study_id = ?", [study_id]).fetchone()
        stays = keep and known is not None
        _write(connection, [row for row in rows if not (stays and isinstance(row, StudyRow))], {Touched()})


def _unlink(connection: duckdb.DuckDBPyConnection, table: str, study_id: str) -> None:
    connection.execute(f"DELETE FROM {table} WHERE study_id = ? {_KEPT.get(table, '')}", [study_id])


def _unlink_same(connection: duckdb.DuckDBPyConnection, study_id: str, rows: Sequence[Row]) -> None:
    """Delete a study's links to whatever had the roles, and of named checkpoints the names, that `rows` give anew."""
    names = [row.label for row in rows if isinstance(row, CheckpointRow) and row.kind in _NAMED]
    roles = sorted({row.role for row in rows if isinstance(row, StudyCheckpointRow)} - {*_NAMED})
    connection.execute(
        """DELETE FROM study_checkpoint WHERE study_id = ? AND (list_contains(?, role) OR (list_contains(?, role)
        AND checkpoint_id IN (SELECT checkpoint_id FROM checkpoint WHERE list_contains(?, label))))""",
        [study_id, roles, list(_NAMED), names],
    )


def replace_pairs(connection: duckdb.DuckDBPyConnection, study_id: str, rows: Sequence[StudyPairRow]) -> None:
    """What a study holds against what, in place of what it had, in one transaction."""
    with _transaction(connection):
        _unlink(connection, StudyPairRow.TABLE, study_id)
        _write(connection, rows, {Touched()})


def replace_estimates(
    connection: duckdb.DuckDBPyConnection,
    study_id: str,
    columns: Mapping[str, NDArray[np.generic]],
    touched: Iterable[Touched],
) -> int:
    """A study's estimates in place of those that it had, in one transaction: a kill leaves the old ones.

    columns are the table's by name, NaN for NULL. A row that is there already is not written again; where none differs,
    no revision is raised. Returns how many were written.
    """
    equal = " AND ".join(f"old.{name} IS NOT DISTINCT FROM fresh.{name}" for name in columns)
    stale = f"SELECT old.rowid FROM estimate old ANTI JOIN fresh ON {equal}"
    keys = "study_id, checkpoint_id, judge_id, metric, scope, split"
    connection.register("given", dict(columns))
    with _transaction(connection):
        connection.execute("CREATE TEMP TABLE fresh AS FROM estimate LIMIT 0")  # for the types of its columns
        connection.execute("INSERT INTO fresh BY NAME FROM given")
        gone = _changed(connection, f"DELETE FROM estimate WHERE study_id = ? AND rowid IN ({stale})", [study_id])
        written = _changed(connection, f"INSERT INTO estimate FROM fresh ANTI JOIN estimate USING ({keys})", [])
        if gone or written:
            _raise_revisions(connection, set(touched) or {Touched()})
        connection.execute("DROP TABLE fresh")
    return written


def _changed(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object]) -> int:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None  # a change of rows always says how many
    return int(row[0])


def write_calibration(connection: duckdb.DuckDBPyConnection, row: CalibrationRow) -> str:
    """A calibration, in place of an earlier one of the same labels, and the judge's trust; returns that.

    Of each label file, known by its name, the newest calibration counts. One that found the judge worse than string
    match outweighs any that did not: who tries files until one is kind learns nothing by it.
    """
    with _transaction(connection):
        _write(connection, [row], {Touched(judge_id=row.judge_id)})
        found = connection.execute(_TRUST, {"judge": row.judge_id}).fetchone()
    assert found is not None  # the judge's row is written before its first calibration
    return str(found[0])


_TRUST = """
UPDATE judge SET trust = (
  SELECT CASE WHEN bool_or(trust = 'not trusted') THEN 'not trusted' WHEN bool_or(trust = 'trusted') THEN 'trusted'
    ELSE 'not calibrated' END
  FROM (SELECT arg_max(trust, made_at) AS trust FROM calibration WHERE judge_id = $judge GROUP BY name)
) WHERE judge_id = $judge RETURNING trust
"""


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block, or on any error, a kill included, nothing of it."""
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        with suppress(duckdb.TransactionException):  # a commit that failed has ended the transaction by itself
            connection.rollback()
        raise


def _write(connection: duckdb.DuckDBPyConnection, rows: Sequence[Row], touched: set[Touched]) -> None:
    tables: dict[str, list[Row]] = {}
    for row in rows:
        tables.setdefault(row.TABLE, []).append(row)
    for table in _MAY_FAIL.keys() & tables.keys():
        _clear_failed(connection, table, tables[table])
    for table, batch in tables.items():
        _insert(connection, table, batch)
    answering = {Touched(row.checkpoint_id) for row in rows if isinstance(row, AnswerRow)}
    judgements = [row for row in rows if isinstance(row, JudgementRow)]
    _raise_revisions(connection, touched | answering | _sharing(connection, judgements))


def _sharing(connection: duckdb.DuckDBPyConnection, judgements: Sequence[JudgementRow]) -> set[Touched]:
    """Every checkpoint that gave a text that is judged now: whoever gave it first is not the only one to gain."""
    pairs = sorted({(row.text_id, row.judge_id) for row in judgements if row.other_text_id is None})
    if not pairs:
        return set()
    texts, judges = (list(column) for column in zip(*pairs, strict=True))
    found = connection.execute(
        """SELECT DISTINCT checkpoint_id, judge_id FROM answer
        JOIN (SELECT unnest(?::VARCHAR[]) AS text_id, unnest(?::VARCHAR[]) AS judge_id) USING (text_id)""",
        [texts, judges],
    )
    return {Touched(checkpoint, judge) for checkpoint, judge in found.fetchall()}


def _clear_failed(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Delete the failures that `rows` are another try of, an answer's with the turns that were had before it failed."""
    name = _MAY_FAIL[table]
    tried = f"{name} IN (SELECT unnest(?::VARCHAR[]))"
    query = f"DELETE FROM {table} WHERE {tried} AND error_kind IS NOT NULL RETURNING {name}"
    failed = connection.execute(query, [[getattr(row, name) for row in rows]]).fetchall()
    if failed and table == AnswerRow.TABLE:
        connection.execute(f"DELETE FROM {AnswerTurnRow.TABLE} WHERE {tried}", [[row[0] for row in failed]])


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    names: list[str] = [field.name for field in fields(rows[0])]  # type: ignore[arg-type]  # every Row is a dataclass
    types = dict(
        connection.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = ?", [table]
        ).fetchall()
    )
    columns = [list(column) for column in zip(*(_values(row, names) for row in rows), strict=True)]
    picked = ", ".join(f"unnest(?::{types[name]}[])" for name in names)
    verb = "INSERT OR REPLACE" if table in _REPLACED else "INSERT OR IGNORE"
    connection.execute(f"{verb} INTO {table} ({', '.join(names)}) SELECT {picked}", columns)


def _values(row: Row, names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(list(v) if isinstance(v, tuple) else v for v in (getattr(row, name) for name in names))


def _raise_revisions(connection: duckdb.DuckDBPyConnection, touched: set[Touched]) -> None:
    columns = [list(column) for column in zip(*(astuple(t) for t in sorted(touched, key=astuple)), strict=True)]
    connection.execute(
        """INSERT INTO revision SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), 1
        ON CONFLICT DO UPDATE SET counter = counter + 1""",
        columns,
    )
