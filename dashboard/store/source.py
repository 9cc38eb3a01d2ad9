"""Where the pages' data comes from: the store, read for milliseconds at a time, and what was read kept by its state.

All of one run of a page shows one state of the store (`dashboard.store.states`), noted by `look` at its start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar, TypeVarTuple

import streamlit as st
from duckdb import DuckDBPyConnection

from dashboard.store import states
from dashboard.store.board import Board
from dashboard.store.memo import Memo
from dashboard.store.place import store_path
from dashboard.store.states import Seen, Store
from mergescope.ground.errors import StoreError

_SEEN = "store_seen"
T = TypeVar("T")
Args = TypeVarTuple("Args")
_STORES = Memo(2)  # a server has one; tests have many, one after the other


def look() -> None:
    """Note the store's state for this run of a page, so that all of the page shows one state of it."""
    try:
        st.session_state[_SEEN] = states.latest(_store())
    except StoreError as error:
        st.session_state[_SEEN] = error


@contextmanager
def outside_pages() -> Iterator[None]:
    """Let `ask` and `reckon` answer in a thread of their own, as of the store's state now; raises as they do."""
    with states.seeing(states.latest(_store())):
        yield


def ask(query: Callable[[DuckDBPyConnection, *Args], T], *args: *Args) -> T:
    """The answer of one of the queries, from memory while the store has not changed since `look`.

    All pages share it: it must not be changed. Raises StoreError where the store is missing, locked for too long,
    foreign or newer than this version.
    """
    return states.asked(_store(), _noted(), query, args)


def reckon(work: Callable[[Board, *Args], T], study_id: str, judge_id: str, *args: *Args) -> T:
    """What `work` makes of all answers of a study as a judge sees them, from memory while none of them has changed.

    The store is not held while it works. Shared and raising as `ask`.
    """
    seen = _noted()
    return states.reckoned(seen, states.kept_board(_store(), seen, study_id, judge_id), work, args)


def board(study_id: str, judge_id: str) -> Board:
    """What `reckon` works on, for work that is too quick, or too large, to be kept. Shared and raising as `ask`."""
    return states.kept_board(_store(), _noted(), study_id, judge_id).board


def updated() -> datetime:
    """When the state that is shown was written, as far as is known; raises as `ask`."""
    return datetime.fromtimestamp(states.changed(_noted().stamp), UTC)


def shown_state() -> tuple[int, int]:
    """Which state of the store this run of a page shows; raises as `ask`."""
    seen = _noted()
    return seen.inode, seen.revision


def _store() -> Store:
    path = store_path()
    store: Store = _STORES.get(path, lambda: Store(path))
    return store


def _noted() -> Seen:
    seen = states.OUTSIDE.get() or st.session_state[_SEEN]
    if isinstance(seen, StoreError):
        raise seen
    if not isinstance(seen, Seen):
        raise TypeError(f"no look at the store before this: {seen!r}")
    return seen
