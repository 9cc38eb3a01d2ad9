"""Where the pages' data comes from: the store, opened for reading for one query at a time, cached by revision."""

from __future__ import annotations

import os
from collections.abc import Callable
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
_SEEN = "store_seen"
P = ParamSpec("P")
T = TypeVar("T")


def store_path() -> Path:
    """The store that this server shows; `results.duckdb` in the working directory where none is named."""
    return Path(os.environ.get(STORE_VARIABLE, "results.duckdb")).absolute()


def look() -> None:
    """Note the store's state for this run of a page, so that all of the page shows one state of it."""
    path = store_path()
    try:
        with open_store(path, read_only=True, patience_s=PATIENCE_S) as db:
            # with the inode, since a new file at the same place may have the same counters
            st.session_state[_SEEN] = (path.stat().st_ino, store_revision(db))
    except StoreError as error:
        st.session_state[_SEEN] = error


def ask(query: Callable[Concatenate[DuckDBPyConnection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The answer of one of the queries, from the cache while the store has not changed since `look`.

    Raises StoreError where the store is missing, locked for too long, foreign or newer than this version.
    """
    seen = st.session_state[_SEEN]
    if isinstance(seen, StoreError):
        raise seen
    inode, revision = seen
    name = f"{query.__module__}.{query.__qualname__}"
    answer: T = _cached(str(store_path()), inode, revision, name, args, kwargs, query)
    return answer


def updated() -> datetime:
    """When the store last changed; after a kill committed rows sit in the .wal beside it."""
    path = store_path()
    files = [file for file in (path, path.with_name(f"{path.name}.wal")) if file.exists()]
    return datetime.fromtimestamp(max(file.stat().st_mtime for file in files), UTC)


@st.cache_data(max_entries=256, show_spinner=False)
def _cached(path: str, inode: int, revision: int, name: str, args: Any, kwargs: Any, _query: Callable[..., Any]) -> Any:
    del inode, revision, name  # they only tell cache entries apart
    with open_store(Path(path), read_only=True, patience_s=PATIENCE_S) as db:
        return _query(db, *args, **kwargs)
