"""What pages send into the store's inbox, and what waits there: shown at once, taken in by a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

from dashboard.people import readers
from dashboard.store.place import store_path
from eval.inbox.slips import ASIDE, ChoiceSlip, Slip, VerdictSlip, file_name, inbox_of, put, waiting

S = TypeVar("S", VerdictSlip, ChoiceSlip)
GATHER_S = 1.0
"""Seconds in which slips gather before a process takes them in, whose start alone takes half a second of a core."""
_UNSEEN: dict[Path, dict[str, Slip]] = {}
"""By store, slips that the pages have seen in its inbox and not yet in the store.

While a sweep writes, pages look at the store only now and then; a slip that has been taken in meanwhile is neither in
the inbox nor in what they show of the store.
"""
_LOCK = threading.Lock()
_TAKING_IN = threading.Lock()


def send(slip: Slip) -> None:
    """Put a slip into the store's inbox and have a process take it in.

    Raises MergescopeError where it cannot be written, or the reader may only read.
    """
    readers.require_editor()
    store = store_path()
    put(store, slip)
    with _LOCK:
        _UNSEEN.setdefault(store, {})[slip.id] = slip
    threading.Thread(target=_have_taken_in, args=(store,), name="inbox", daemon=True).start()


def _have_taken_in(store: Path) -> None:
    """Run `mergescope inbox` if something still waits once the process before it has ended.

    Not before: one that is about to end has looked for the last time. What it says stands beside what it sets aside.
    """
    command = [sys.executable, "-m", "mergescope", "inbox", str(store)]
    with _TAKING_IN:
        if waiting(store, most=1):
            time.sleep(GATHER_S)
            quiet = subprocess.DEVNULL
            subprocess.run(command, stdin=quiet, stdout=quiet, stderr=quiet, check=False)


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
