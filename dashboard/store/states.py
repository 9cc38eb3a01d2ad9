"""The states of one store, which follow each other: read once, kept in memory, and the next one worked out aside.

The store is looked at only when its files have changed; while a sweep writes, a changed store is not looked at before
the pages have left it alone for a multiple of the time that they took. Single answers are read a checkpoint at a time
and kept as a board (`dashboard.store.board`): a commit that touches one checkpoint has that one read again. Where
working out a state takes long, the next one of a store that is being written is worked out in a thread of its own, by
what pages asked of the last, and shown when that is done: nobody waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from duckdb import DuckDBPyConnection

from dashboard.store.board import Board, brought_up
from dashboard.store.memo import Memo
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
SLOW_S = 0.3
"""Seconds of work from which on a state's successor is worked out aside."""
AGAIN = 16
"""Answers of each memory, the last asked for, that are worked out again for a successor."""
BOARDS = 3
"""Boards kept in memory, about 60 MB each for a million scores."""
AHEAD: list[Callable[[], None]] = []
"""What else is worked out of a state aside, by `ask` and `reckon`, before it is shown: what pages will begin with."""
T = TypeVar("T")
Args = TypeVarTuple("Args")


@dataclass(slots=True)
class Seen:
    """The state of a store that this server's pages show."""

    inode: int
    """A new file at the same place may have the same counters."""
    revision: int
    stamp: Stamp
    since: float
    """When it was first seen, on the monotonic clock."""
    reading_s: float = 0.0
    """Seconds that its queries took so far, waits for the file included."""
    worked_s: float = 0.0
    """Seconds that all that pages asked of it took, those reads included."""
    memo: Memo = field(default_factory=Memo)
    """What was read of it."""
    boards: dict[tuple[str, str], Shown] = field(default_factory=dict)
    """Its boards by study and judge, as long as it is worked out aside."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A study's answers under one judge, and what was reckoned from them."""

    board: Board
    memo: Memo = field(default_factory=Memo)


@dataclass(slots=True)
class Kept:
    """The latest board of a study under one judge."""

    study_id: str
    judge_id: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    inode: int = 0
    revision: int = -1
    """Of the state that it was last brought up to."""
    shown: Shown | None = None

    def show(self, seen: Seen, shown: Shown) -> None:
        """Take over a board that was worked out aside, unless a page has read a later one meanwhile."""
        with self.lock:
            if self.inode == seen.inode and self.revision < seen.revision:
                self.revision, self.shown = seen.revision, shown


class Store:
    """One store, as this server knows it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = Reader(path)
        self.seen: Seen | None = None
        self.kept = Memo(BOARDS)
        """Boards, by study and judge."""
        self.aside = threading.Lock()
        """Held while a successor of `seen` is worked out."""
        self._swap = threading.Lock()

    def show(self, seen: Seen | None, found: Seen) -> Seen:
        """Let `found` follow `seen`, unless another state has done so meanwhile; returns the one that is shown."""
        with self._swap:
            if self.seen is not None and self.seen is not seen:
                return self.seen
            if seen is not None and found is not seen:
                if found.inode == seen.inode:
                    found.worked_s = max(found.worked_s, seen.worked_s)  # a store that is slow stays so
                    if found.revision < seen.revision:  # another store, to which the system gave the same number
                        self.kept.clear()
                seen.memo.clear()  # tabs that are left alone keep their state, not what was read of it
            self.seen = found
            return found

    def forget(self) -> None:
        """The store is gone: what comes in its place may have its number."""
        with self._swap:
            self.seen = None
            self.kept.clear()

    @contextmanager
    def reading(self, seen: Seen, patience_s: float | None = None) -> Iterator[DuckDBPyConnection]:
        """One read for the pages of a state."""
        started = time.monotonic()
        try:
            with self.reader.reading(PATIENCE_S if patience_s is None else patience_s) as db:
                yield db
        finally:
            seen.reading_s += time.monotonic() - started


OUTSIDE: ContextVar[Seen | None] = ContextVar("outside", default=None)
"""The state that work outside pages sees; None in pages, whose session notes it."""


@contextmanager
def seeing(seen: Seen) -> Iterator[None]:
    """Within the block work outside pages sees this state."""
    token = OUTSIDE.set(seen)
    try:
        yield
    finally:
        OUTSIDE.reset(token)


def asked(store: Store, seen: Seen, query: Callable[[DuckDBPyConnection, *Args], T], args: tuple[*Args]) -> T:
    """What a query says of a state, from its memory where it was asked before; raises as `Reader.reading`."""

    def read() -> T:
        with _timed(seen), store.reading(seen) as db:
            return query(db, *args)

    answer: T = seen.memo.get((query, *map(_hashable, args)), read)
    return answer


def reckoned(seen: Seen, shown: Shown, work: Callable[[Board, *Args], T], args: tuple[*Args]) -> T:
    """What `work` makes of a board, from its memory where that was asked before."""

    def worked() -> T:
        with _timed(seen):
            return work(shown.board, *args)

    answer: T = shown.memo.get((work, *map(_hashable, args)), worked)
    return answer


@contextmanager
def _timed(seen: Seen) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    finally:
        seen.worked_s += time.monotonic() - started


def _hashable(value: object) -> object:
    """For a key; lists, as pages pass them, become tuples."""
    return tuple(value) if isinstance(value, list) else value


def kept_board(store: Store, seen: Seen, study_id: str, judge_id: str) -> Shown:
    """The board that `seen` shows, or a later one that another page has read meanwhile."""
    if (own := seen.boards.get((study_id, judge_id))) is not None:
        return own
    kept: Kept = store.kept.get((study_id, judge_id), lambda: Kept(study_id, judge_id))
    with kept.lock:
        shown = kept.shown if kept.inode == seen.inode else None
        if shown is None or kept.revision < seen.revision:
            before = None if shown is None else shown.board
            with _timed(seen):
                board = brought_up(before, lambda: store.reading(seen), study_id, judge_id)
            shown = shown if shown is not None and board is before else Shown(board)
            kept.inode, kept.revision, kept.shown = seen.inode, seen.revision, shown
        return shown


def latest(store: Store) -> Seen:
    """The state to show: the last one where nothing has changed or it is too soon to look, else the store's own.

    Of a store that is being written also the last one, as long as the next one is worked out.
    """
    seen, now = store.seen, stamp(store.path)
    if not now:
        store.forget()
    if seen is None or not now:
        return store.show(None, _found(store, None, now))
    if now == seen.stamp or _too_soon(seen, now):
        return seen
    if not _is_same_file(seen, now) or seen.worked_s <= SLOW_S:
        return store.show(seen, _found(store, seen, now))
    if store.aside.locked():
        return seen
    if not _is_written(now):
        return store.show(seen, _found(store, seen, now))
    _start_aside(store, seen, now)
    return store.seen or seen


def _start_aside(store: Store, seen: Seen, now: Stamp) -> None:
    """Begin to work out what follows `seen`, unless that is under way or done."""
    if not store.aside.acquire(blocking=False):
        return
    thread = threading.Thread(target=_work_aside, args=(store, seen, now), name="next state", daemon=True)
    with suppress(RuntimeError):  # no thread to be had: the next look tries again
        if store.seen is seen:
            thread.start()
            return
    store.aside.release()


def _found(store: Store, seen: Seen | None, now: Stamp) -> Seen:
    """The store's own state; `seen` where it is the same."""
    found = Seen(0, 0, now, time.monotonic())
    same_file = seen is not None and _is_same_file(seen, now)
    try:
        with store.reading(found, GLANCE_S if same_file else None) as db:
            found.inode, found.revision = (now[0][0] if now else 0), store_revision(db)
    except StoreHeldError:
        if seen is None or not same_file:
            raise
        return seen  # a sweep is committing: its last commit but one will do
    if seen is not None and (seen.inode, seen.revision) == (found.inode, found.revision):
        seen.stamp = now  # from before the store was opened: what came meanwhile shows as a change next time
        seen.reading_s += found.reading_s
        return seen
    return found


def _work_aside(store: Store, seen: Seen, now: Stamp) -> None:
    """Work out of the store's own state what pages asked last of `seen`, then show it."""
    try:
        found = _found(store, seen, now)
        if found.revision > seen.revision:
            _work_out(store, seen, found)
        store.show(seen, found)
    except StoreError:  # pages say what is wrong with the store when they look themselves, and not at once again
        seen.since = time.monotonic()
    finally:
        store.aside.release()


def _work_out(store: Store, seen: Seen, found: Seen) -> None:
    """Ask of `found` what was asked of `seen`; what fails is not kept, and who asks for it again gets the error."""
    for query, *args in filter(_is_plain, seen.memo.latest(AGAIN)):
        with suppress(Exception):
            asked(store, found, query, tuple(args))
    kept_ones: list[Kept] = store.kept.values()
    for kept in kept_ones:
        with suppress(Exception):
            if (shown := _next_shown(store, found, kept)) is not None:
                found.boards[kept.study_id, kept.judge_id] = shown
    for work in AHEAD:
        with suppress(Exception), seeing(found):
            work()
    for kept in kept_ones:
        if (shown := found.boards.get((kept.study_id, kept.judge_id))) is not None:
            kept.show(found, shown)
    found.boards.clear()


def _is_plain(key: tuple[object, ...]) -> bool:
    """Whether a successor may be asked the same: objects of this state, told apart by identity, are in no other."""
    return all(_is_value(value) for value in key[1:])


def _is_value(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_value, value))
    return value is None or isinstance(value, str | int | float)


def _next_shown(store: Store, found: Seen, kept: Kept) -> Shown | None:
    """A board brought up, with what pages asked of it last; None where there is none of the same file."""
    with kept.lock:
        before = kept.shown if kept.inode == found.inode else None
    if before is None:
        return None
    with _timed(found):
        board = brought_up(before.board, lambda: store.reading(found), kept.study_id, kept.judge_id)
    if board is before.board:
        return before
    shown = Shown(board)
    for work, *args in filter(_is_plain, before.memo.latest(AGAIN)):
        with suppress(Exception):  # as with queries
            reckoned(found, shown, work, tuple(args))
    return shown


def _too_soon(seen: Seen, now: Stamp) -> bool:
    """Whether the store is being written and its last state's queries were no long while ago."""
    rest_s = min(REST * seen.reading_s, LONGEST_REST_S)
    return _is_written(now) and _is_same_file(seen, now) and time.monotonic() - seen.since < rest_s


def _is_written(now: Stamp) -> bool:
    return time.time() - changed(now) < QUIET_S


def _is_same_file(seen: Seen, now: Stamp) -> bool:
    return bool(seen.stamp and now) and now[0][0] == seen.stamp[0][0]


def changed(now: Stamp) -> float:
    """When files were last written, in seconds since 1970; after a kill committed rows sit in the .wal beside them."""
    return max(mtime for _, _, mtime in now) / 1e9
