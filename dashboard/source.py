"""Where the pages' data comes from: the store, opened for reading for one query at a time, cached by revision.

While a page reads, a sweep cannot commit. So the store is opened only when its files have changed; and while a sweep
writes, a changed store is not looked at before the pages have left it alone for a multiple of the time that they took.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import streamlit as st
from duckdb import DuckDBPyConnection

from dashboard.serve import STORE_VARIABLE
from eval.store import open_store, store_revision
from mergescope.ground.errors import StoreError

PATIENCE_S = 5.0
"""Seconds that a page waits while a sweep commits, before it says so."""
REST = 30
"""How many times as long as a state's queries took the store is left alone, while it is being written."""
LONGEST_REST_S = 120.0
"""Oldest state that is shown without a look, in seconds, however slow its queries were."""
QUIET_S = 3.0
"""Seconds after its last change in which a store counts as being written: a sweep commits once a second."""
_SEEN = "store_seen"
P = ParamSpec("P")
T = TypeVar("T")

Stamp = tuple[tuple[int, int, int], ...]
"""Inode, size and mtime (ns) of the store and of the .wal beside it, where a killed sweep's last commits sit."""


@dataclass(slots=True)
class _Seen:
    """The state of a store that this server's pages show."""

    inode: int
    """A new file at the same place may have the same counters."""
    revision: int
    stamp: Stamp
    since: float
    """When it was first seen, on the monotonic clock."""
    reading_s: float
    """Seconds that its queries took so far, waits for the file included."""


_LATEST: dict[Path, _Seen] = {}


def store_path() -> Path:
    """The store that this server shows; `results.duckdb` in the working directory where none is named."""
    return Path(os.environ.get(STORE_VARIABLE, "results.duckdb")).absolute()


def look() -> None:
    """Note the store's state for this run of a page, so that all of the page shows one state of it."""
    try:
        st.session_state[_SEEN] = _latest(store_path())
    except StoreError as error:
        st.session_state[_SEEN] = error


def ask(query: Callable[Concatenate[DuckDBPyConnection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The answer of one of the queries, from the cache while the store has not changed since `look`.

    Raises StoreError where the store is missing, locked for too long, foreign or newer than this version.
    """
    seen = st.session_state[_SEEN]
    if isinstance(seen, StoreError):
        raise seen
    name = f"{query.__module__}.{query.__qualname__}"
    answer: T = _cached(str(store_path()), seen.inode, seen.revision, name, args, kwargs, query, seen)
    return answer


def updated() -> datetime:
    """When the store last changed; after a kill committed rows sit in the .wal beside it."""
    return datetime.fromtimestamp(_changed(_stamp(store_path())), UTC)


def _latest(path: Path) -> _Seen:
    """The state to show: the last one where nothing has changed or it is too soon to look, else the store's own."""
    seen, stamp = _LATEST.get(path), _stamp(path)
    if seen is not None and stamp and (stamp == seen.stamp or _too_soon(seen, stamp)):
        return seen
    started = time.monotonic()
    with open_store(path, read_only=True, patience_s=PATIENCE_S) as db:
        inode, revision = path.stat().st_ino, store_revision(db)
    if seen is None or (seen.inode, seen.revision) != (inode, revision):
        seen = _Seen(inode, revision, stamp, started, 0.0)
    # the stamp from before the store was opened: what came meanwhile shows as a change next time
    seen.stamp = stamp
    seen.reading_s += time.monotonic() - started
    _LATEST[path] = seen
    return seen


def _too_soon(seen: _Seen, stamp: Stamp) -> bool:
    """Whether the store is being written and its last state's queries were no long while ago."""
    is_written = time.time() - _changed(stamp) < QUIET_S
    same_file = bool(seen.stamp) and stamp[0][0] == seen.stamp[0][0]
    rest_s = min(REST * seen.reading_s, LONGEST_REST_S)
    return is_written and same_file and time.monotonic() - seen.since < rest_s


def _stamp(path: Path) -> Stamp:
    found = []
    for file in (path, path.with_name(f"{path.name}.wal")):
        try:
            state = file.stat()
        except FileNotFoundError:
            continue
        found.append((state.st_ino, state.st_size, state.st_mtime_ns))
    return tuple(found)


def _changed(stamp: Stamp) -> float:
    return max(mtime for _, _, mtime in stamp) / 1e9


@st.cache_data(max_entries=256, show_spinner=False)
def _cached(
    path: str, inode: int, revision: int, name: str, args: Any, kwargs: Any, _query: Callable[..., Any], _seen: _Seen
) -> Any:
    del inode, revision, name  # they only tell cache entries apart
    started = time.monotonic()
    with open_store(Path(path), read_only=True, patience_s=PATIENCE_S) as db:
        answer = _query(db, *args, **kwargs)
    _seen.reading_s += time.monotonic() - started
    return answer
