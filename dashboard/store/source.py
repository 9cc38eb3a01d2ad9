"""Where the pages' data comes from: the store, read for milliseconds at a time, and what was read kept by revision.

While a page reads, a sweep cannot commit. So the store is looked at only when its files have changed; while a sweep
writes, a changed store is not looked at before the pages have left it alone for a multiple of the time that they took.
Single answers are read a checkpoint at a time and kept as a board (`dashboard.store.board`): a commit that touches one
checkpoint has that one read again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import streamlit as st
from duckdb import DuckDBPyConnection

from dashboard.store.board import Board, brought_up
from dashboard.store.memo import Memo
from dashboard.store.place import store_path
from dashboard.store.reader import Reader, Stamp, stamp
from eval.store import StoreHeldError, store_revision
from mergescope.ground.errors import StoreError

PATIENCE_S = 5.0
"""Seconds that a page waits while a sweep commits, before it says so."""
GLANCE_S = 0.05
"""Seconds that it waits where it has an older state to show instead."""
REST = 30
"""How many times as long as a state's queries took the store is left alone, while it is being written."""
LONGEST_REST_S = 120.0
"""Oldest state that is shown without a look, in seconds, however slow its queries were."""
QUIET_S = 3.0
"""Seconds after its last change in which a store counts as being written: a sweep commits once a second."""
BOARDS = 3
"""Boards kept in memory, about 60 MB each for a million scores."""
_SEEN = "store_seen"
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class _Seen:
    """The state of a store that this server's pages show."""

    inode: int
    """A new file at the same place may have the same counters."""
    revision: int
    stamp: Stamp
    since: float
    """When it was first seen, on the monotonic clock."""
    reading_s: float = 0.0
    """Seconds that its queries took so far, waits for the file included."""
    memo: Memo = field(default_factory=Memo)
    """What was read of it."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """A study's answers under one judge, and what was reckoned from them."""

    board: Board
    memo: Memo = field(default_factory=Memo)


@dataclass(slots=True)
class _Kept:
    """The latest board of a study under one judge."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    inode: int = 0
    revision: int = -1
    """Of the state that it was last brought up to."""
    shown: _Shown | None = None


class _Store:
    """One store, as this server knows it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = Reader(path)
        self.seen: _Seen | None = None
        self.kept = Memo(BOARDS)
        """Boards, by study and judge."""

    @contextmanager
    def reading(self, seen: _Seen, patience_s: float | None = None) -> Iterator[DuckDBPyConnection]:
        """One read for the pages of a state."""
        started = time.monotonic()
        try:
            with self.reader.reading(PATIENCE_S if patience_s is None else patience_s) as db:
                yield db
        finally:
            seen.reading_s += time.monotonic() - started


_OUTSIDE: ContextVar[_Seen | None] = ContextVar("outside", default=None)
"""The state that work outside pages sees; None in pages, whose session notes it."""
_STORES = Memo(2)  # a server has one; tests have many, one after the other


def look() -> None:
    """Note the store's state for this run of a page, so that all of the page shows one state of it."""
    try:
        st.session_state[_SEEN] = _latest(_store())
    except StoreError as error:
        st.session_state[_SEEN] = error


@contextmanager
def outside_pages() -> Iterator[None]:
    """Let `ask` and `reckon` answer in a thread of their own, as of the store's state now; raises as they do."""
    token = _OUTSIDE.set(_latest(_store()))
    try:
        yield
    finally:
        _OUTSIDE.reset(token)


def ask(query: Callable[Concatenate[DuckDBPyConnection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The answer of one of the queries, from memory while the store has not changed since `look`.

    All pages share it: it must not be changed. Raises StoreError where the store is missing, locked for too long,
    foreign or newer than this version.
    """
    store, seen = _store(), _noted()

    def read() -> T:
        with store.reading(seen) as db:
            return query(db, *args, **kwargs)

    answer: T = seen.memo.get(_name(query, args, kwargs), read)
    return answer


def reckon(
    work: Callable[Concatenate[Board, P], T], study_id: str, judge_id: str, *args: P.args, **kwargs: P.kwargs
) -> T:
    """What `work` makes of all answers of a study as a judge sees them, from memory while none of them has changed.

    The store is not held while it works. Shared and raising as `ask`.
    """
    shown = _shown(_store(), _noted(), study_id, judge_id)
    answer: T = shown.memo.get(_name(work, args, kwargs), lambda: work(shown.board, *args, **kwargs))
    return answer


def updated() -> datetime:
    """When the store last changed; after a kill committed rows sit in the .wal beside it."""
    return datetime.fromtimestamp(_changed(stamp(store_path())), UTC)


def shown_state() -> tuple[int, int]:
    """Which state of the store this run of a page shows; raises as `ask`."""
    seen = _noted()
    return seen.inode, seen.revision


def _store() -> _Store:
    path = store_path()
    store: _Store = _STORES.get(path, lambda: _Store(path))
    return store


def _noted() -> _Seen:
    seen = _OUTSIDE.get() or st.session_state[_SEEN]
    if isinstance(seen, StoreError):
        raise seen
    if not isinstance(seen, _Seen):
        raise TypeError(f"no look at the store before this: {seen!r}")
    return seen


def _name(function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]) -> tuple[object, ...]:
    """A key for a call; lists, as pages pass them, become tuples."""
    values = (*args, *sorted(kwargs.items()))
    named = (function.__module__, function.__qualname__)
    return (*named, *(tuple(value) if isinstance(value, list) else value for value in values))


def _shown(store: _Store, seen: _Seen, study_id: str, judge_id: str) -> _Shown:
    """The board that `seen` shows, or a later one that another page has read meanwhile."""
    kept: _Kept = store.kept.get((study_id, judge_id), _Kept)
    with kept.lock:
        shown = kept.shown if kept.inode == seen.inode else None
        if shown is None or kept.revision < seen.revision:
            before = None if shown is None else shown.board
            board = brought_up(before, lambda: store.reading(seen), study_id, judge_id)
            shown = shown if shown is not None and board is before else _Shown(board)
            kept.inode, kept.revision, kept.shown = seen.inode, seen.revision, shown
        return shown


def _latest(store: _Store) -> _Seen:
    """The state to show: the last one where nothing has changed or it is too soon to look, else the store's own."""
    seen, now = store.seen, stamp(store.path)
    if seen is not None and now and (now == seen.stamp or _too_soon(seen, now)):
        return seen
    started = time.monotonic()
    found = _Seen(0, 0, now, started)
    try:
        same_file = seen is not None and _is_same_file(seen, now)
        with store.reading(found, GLANCE_S if same_file else None) as db:
            found.inode, found.revision = store.path.stat().st_ino, store_revision(db)
    except StoreHeldError:
        if seen is None or not same_file:
            raise
        return seen  # a sweep is committing: its last commit but one will do
    if seen is not None and (seen.inode, seen.revision) == (found.inode, found.revision):
        seen.stamp = now  # from before the store was opened: what came meanwhile shows as a change next time
        seen.reading_s += found.reading_s
        return seen
    if seen is not None:
        seen.memo.clear()  # tabs that are left alone keep their state, not what was read of it
    store.seen = found
    return found


def _too_soon(seen: _Seen, now: Stamp) -> bool:
    """Whether the store is being written and its last state's queries were no long while ago."""
    is_written = time.time() - _changed(now) < QUIET_S
    rest_s = min(REST * seen.reading_s, LONGEST_REST_S)
    return is_written and _is_same_file(seen, now) and time.monotonic() - seen.since < rest_s


def _is_same_file(seen: _Seen, now: Stamp) -> bool:
    return bool(seen.stamp and now) and now[0][0] == seen.stamp[0][0]


def _changed(now: Stamp) -> float:
    return max(mtime for _, _, mtime in now) / 1e9
