"""What pages send into the store's inbox, and what waits there: shown at once, taken in by a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

from dashboard import readers
from dashboard.source import store_path
from eval.inbox.slips import ASIDE, ChoiceSlip, Slip, VerdictSlip, file_name, inbox_of, put, waiting

S = TypeVar("S", VerdictSlip, ChoiceSlip)
_UNSEEN: dict[Path, dict[str, Slip]] = {}
"""By store, slips that the pages have seen in its inbox and not yet in the store.

While a sweep writes, pages look at the store only now and then; a slip that has been taken in meanwhile is neither in
the inbox nor in what they show of the store.
"""
_LOCK = threading.Lock()
_TAKERS: dict[Path, subprocess.Popen[bytes]] = {}


def send(slip: Slip) -> None:
    """Put a slip into the store's inbox and start the process that takes it in, unless one is at it.

    Raises MergescopeError where it cannot be written, or the reader may only read.
    """
    readers.require_editor()
    store = store_path()
    put(store, slip)
    with _LOCK:
        _UNSEEN.setdefault(store, {})[slip.id] = slip
        taker = _TAKERS.get(store)
        if taker is None or taker.poll() is not None:
            command = [sys.executable, "-m", "mergescope", "inbox", str(store)]
            # what it may say stands beside what it sets aside
            _TAKERS[store] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )


def not_yet(kind: type[S], taken: Collection[str]) -> list[S]:
    """Slips of a kind that are not among the ids `taken`, those of the store's rows as the page shows it; oldest first.

    Call it after the rows were asked for.
    """
    store = store_path()
    with _LOCK:
        unseen = _UNSEEN.setdefault(store, {})
        unseen.update({one.slip.id: one.slip for one in waiting(store) if one.slip is not None})
        for name in [name for name, slip in unseen.items() if isinstance(slip, kind) and name in taken]:
            del unseen[name]
        for name in [name for name, slip in unseen.items() if _is_aside(store, slip)]:
            del unseen[name]
        found = [slip for slip in unseen.values() if isinstance(slip, kind)]
    return sorted(found, key=lambda slip: (slip.made_at, slip.id))


def set_aside() -> list[str]:
    """One line for each file that lay in the inbox and was no slip, raw."""
    folder = inbox_of(store_path()) / ASIDE
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in sorted(folder.glob("*.why"))]


def _is_aside(store: Path, slip: Slip) -> bool:
    return (inbox_of(store) / ASIDE / file_name(slip)).exists()
