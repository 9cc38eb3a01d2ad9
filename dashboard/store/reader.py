"""Reads of the store that hold its file for milliseconds: one sealed engine, the file attached for each read alone.

Starting DuckDB takes longer than most queries of a page; opened as `eval.store.open_store` does it, the file would be
held all that while. The engine itself can reach no other file.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from eval.store import SEALED, StoreHeldError, check_readable, once_free
from mergescope.ground.errors import StoreError

Stamp = tuple[tuple[int, int, int], ...]
"""Inode, size and mtime (ns) of the store and of the .wal beside it, where a killed sweep's last commits sit."""


def stamp(path: Path) -> Stamp:
    """The state of a store's files; empty where there are none."""
    found = []
    for file in (path, wal_of(path)):
        try:
            state = file.stat()
        except FileNotFoundError:
            continue
        found.append((state.st_ino, state.st_size, state.st_mtime_ns))
    return tuple(found)


def wal_of(path: Path) -> Path:
    """Where DuckDB keeps commits that are not in the store's file yet."""
    return path.with_name(f"{path.name}.wal")


class Reader:
    """One store's reads. Threads may share it: the file is attached once, for as long as one of them reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = _sealed_for(path)
        self._lock = threading.Lock()
        self._reading = 0
        self._inode = 0
        """Of the file that is attached while somebody reads."""
        self._checked: Stamp = ()

    @contextmanager
    def reading(self, patience_s: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the store, for one thread. The file is free again at the end of the block.

        While another process writes, nobody can read: a held store is tried again for `patience_s` seconds. Raises
        StoreError as `eval.store.open_store` does.
        """
        if not self._path.exists():
            raise StoreError("no results yet", where=self._path, cure="run `mergescope run STUDY` first")
        self._attach(patience_s)
        connection = self._engine.cursor()
        try:
            connection.execute("USE store")
            yield connection
        finally:
            connection.close()
            self._detach()

    def _attach(self, patience_s: float) -> None:
        def attach() -> None:
            with self._lock:
                seen = stamp(self._path)
                if self._reading:
                    self._require_the_same(seen)
                else:
                    self._inode = seen[0][0] if seen else 0
                    self._engine.execute(f"ATTACH {_quoted(self._path)} AS store (READ_ONLY)")
                    self._check(seen)
                self._reading += 1

        once_free(attach, self._path, patience_s)

    def _require_the_same(self, seen: Stamp) -> None:
        """Another file may have come in the place of the one that is attached, which is free again soon."""
        if not seen or seen[0][0] != self._inode:
            cure = "look again in a moment"
            raise StoreHeldError("another file has come in its place", where=self._path, cure=cure)

    def _check(self, seen: Stamp) -> None:
        """Refuse what is no store of this version or brings views or macros; once for each state of the files."""
        if seen == self._checked:
            return
        connection = self._engine.cursor()
        try:
            connection.execute("USE store")
            check_readable(connection, self._path)
        except BaseException:
            connection.close()
            self._engine.execute("DETACH store")
            raise
        connection.close()
        self._checked = seen

    def _detach(self) -> None:
        with self._lock:
            self._reading -= 1
            if not self._reading:
                self._engine.execute("DETACH store")


def _sealed_for(path: Path) -> duckdb.DuckDBPyConnection:
    """An engine in memory that can reach one store and nothing else."""
    engine = duckdb.connect(":memory:")
    files = ", ".join(_quoted(file) for file in (path, wal_of(path)))
    engine.execute(f"SET allowed_paths = [{files}]")
    for name, value in SEALED.items():
        engine.execute(f"SET {name} = {value}")
    return engine


def _quoted(path: Path) -> str:
    text = str(path).replace("'", "''")
    return f"'{text}'"
