"""A log of who had a harmful text shown, and when: each by its id or hash, never the text."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from dashboard.people import readers
from dashboard.store.place import store_path

_KEY = "reveals"
_HEARD = "reveals_heard"
_EVENT = re.compile(r"\d{1,16}:(t1_[0-9a-f]{32})")
"""What a browser may say: a moment in ms, and a text's id."""
_WATCHER = st.components.v2.component(
    "mergescope_reveals",
    html="<span hidden></span>",
    js=(Path(__file__).parents[1] / "parts" / "reveals.js").read_text(encoding="utf-8"),
)


def log_file() -> Path:
    """One JSON object a line, beside the store."""
    store = store_path()
    return store.with_name(f"{store.name}.reveals.jsonl")


def note(page: str, text: str) -> None:
    """Log that the reader of this run had a text shown. text: its id or sha256."""
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    line = json.dumps({"at": moment, "who": readers.reader().name, "page": page, "text": text}, ensure_ascii=False)
    place = os.open(log_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(place, f"{line}\n".encode())  # one write: lines of several readers do not mix
    finally:
        os.close(place)


@st.fragment
def watch(page: str) -> None:
    """Hear of blurred texts that are shown on this page; only this part of it runs again then."""
    with st.container(key="watch"):
        _WATCHER(key=_KEY, on_shown_change=lambda: _heard(page))


def _heard(page: str) -> None:
    seen: set[str] = st.session_state.setdefault(_HEARD, set())
    for event in st.session_state[_KEY].shown or ():
        found = _EVENT.fullmatch(str(event))
        if found and event not in seen:
            seen.add(event)
            note(page, found[1])
