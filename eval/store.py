"""Opening results.duckdb: one file, short holds, nothing outside it reachable from a query."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import duckdb

from eval.migrate import back_up, check_version, migrate, pending
from mergescope.ground.errors import StoreError

PATIENCE_S = 20.0
"""Seconds to wait for a store that another process holds; commits hold it for milliseconds."""
FIRST_PAUSE_S = 0.01
"""Pause before the second try; each further one is half again as long, up to LAST_PAUSE_S."""
LAST_PAUSE_S = 0.05

T = TypeVar("T")

SEALED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "lock_configuration": "true",
}
"""A query can reach no other file, load no extension and change no setting."""


class StoreHeldError(StoreError):
    """Another process has the store open for writing, or was reading when this one wanted to write."""


@contextmanager
def open_store(path: Path, *, read_only: bool, patience_s: float = PATIENCE_S) -> Iterator[duckdb.DuckDBPyConnection]:
    """A sealed connection to the store, closed at the end of the block. Hold it as briefly as you can.

    While one process writes, no other can even read, so a held store is tried again for `patience_s` seconds.
    Opened for writing, a missing file is made and an older one is backed up and migrated. One connection serves
    one thread; in one process a reader and a writer exclude each other.

    Raises StoreError where the file is missing (read only), not a database, not a store of ours, made by a newer
    version, held for too long, or brings views or macros that this program did not write, or where its disk is full.
    """
    if read_only and not path.exists():
        raise StoreError("no results yet", where=path, cure="run `mergescope run STUDY` first")
    if not read_only and not path.parent.is_dir():
        raise StoreError("no such folder for the results", where=path.parent, cure="make it, or name another --store")
    connection = _connect(path, read_only=read_only, patience_s=patience_s)
    try:
        if read_only:
            check_readable(connection, path)
        else:
            check_version(connection, path)
            _refuse_foreign(connection, path)
        if not read_only and (todo := pending(connection)):
            connection.close()
            back_up(path, todo[0])
            connection = _connect(path, read_only=False, patience_s=patience_s)
            migrate(connection)
        yield connection
    except duckdb.Error as error:
        if not _is_full(error):
            raise
        raise _full(path) from None
    finally:
        connection.close()


def store_revision(connection: duckdb.DuckDBPyConnection) -> int:
    """A number that rises with every commit; pages cache by it, since a file's mtime is not enough."""
    row = connection.execute("SELECT coalesce(sum(counter), 0)::BIGINT FROM revision").fetchone()
    assert row is not None  # an aggregate always gives one row
    return int(row[0])


def check_readable(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Raises StoreError where the open file is no store of this very version, or brings foreign views or macros."""
    check_version(connection, path)
    _refuse_foreign(connection, path)
    if pending(connection):
        raise StoreError("made by an older version", where=path, cure="run `mergescope eval STUDY` to bring it up")


def once_free(open_it: Callable[[], T], path: Path, patience_s: float) -> T:
    """What `open_it` returns, tried again for `patience_s` seconds while another process holds the store.

    `open_it` may say so itself by a StoreHeldError. Raises StoreError where it is held for longer, or cannot be opened
    for another reason.
    """
    deadline = time.monotonic() + patience_s
    pause = FIRST_PAUSE_S
    while True:
        try:
            return open_it()
        except StoreHeldError as error:
            held = error
        except duckdb.Error as error:
            if not _is_held(error):
                raise _refusal(path, error) from None
            cure = "wait for it to end, or close the program that has the file open"
            held = StoreHeldError(f"held by another process for {patience_s:g} s", where=path, cure=cure)
        if time.monotonic() >= deadline:
            raise held from None
        time.sleep(pause)
        pause = min(pause * 1.5, LAST_PAUSE_S)


def _connect(path: Path, *, read_only: bool, patience_s: float) -> duckdb.DuckDBPyConnection:
    return once_free(lambda: duckdb.connect(str(path), read_only=read_only, config=SEALED), path, patience_s)


def _is_held(error: duckdb.Error) -> bool:
    text = str(error)
    marks = ("Could not set lock", "different configuration than existing", "Unique file handle conflict")
    return any(mark in text for mark in marks)


def _is_full(error: duckdb.Error) -> bool:
    return any(words in str(error) for words in ("No space left on device", "Disk quota exceeded"))


def _full(path: Path) -> StoreError:
    cure = "free some room, then run it again"
    return StoreError("the disk is full; what was committed is safe", where=path, cure=cure)


def _refusal(path: Path, error: duckdb.Error) -> StoreError:
    text = str(error).splitlines()[0]
    if _is_full(error):
        return _full(path)
    if "not a valid DuckDB database" in text:
        return StoreError("not a results file (no DuckDB database)", where=path, cure="name another --store")
    if "newer version" in text or "storage version" in text.lower() or "version number" in text:
        return StoreError("written by another version of DuckDB", where=path, cure="update mergescope")
    return StoreError(f"cannot be opened: {text}", where=path, cure="name another --store, or restore a backup")


def _refuse_foreign(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    found = connection.execute(
        """SELECT 'view', view_name FROM duckdb_views() WHERE NOT internal
        UNION ALL SELECT 'macro', function_name FROM duckdb_functions()
        WHERE NOT internal AND function_type IN ('macro', 'table_macro') LIMIT 1"""
    ).fetchone()
    if found is not None:
        raise StoreError(f"holds a foreign {found[0]}", where=path, value=found[1], cure="use only stores you trust")
