"""What pages send into the store's inbox, and what waits there: shown at once, taken in by a process of its own."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
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
LONGEST_S = 300.0
"""Seconds after which a process that takes slips in is ended."""


@dataclass(slots=True)
class _Taker:
    """Who has a store's slips taken in."""

    waiting: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one thread that comes next: it takes what others send meanwhile."""
    working: threading.Lock = field(default_factory=threading.Lock)
    trouble: str = ""
    """What the last process could not do, raw; empty where it could."""


_TAKERS: dict[Path, _Taker] = {}


def send(slip: Slip) -> None:
    """Put a slip into the store's inbox and have a process take it in.

    Raises MergescopeError where it cannot be written, or the reader may only read.
    """
    readers.require_editor()
    store = store_path()
    put(store, slip)
    with _LOCK:
        _UNSEEN.setdefault(store, {})[slip.id] = slip
        taker = _TAKERS.setdefault(store, _Taker())
    threading.Thread(target=_have_taken_in, args=(store, taker), name="inbox", daemon=True).start()


def _have_taken_in(store: Path, taker: _Taker) -> None:
    """Run `mergescope inbox` if something still waits once the process before it has ended.

    Not before: one that is about to end has looked for the last time.
    """
    if not taker.waiting.acquire(blocking=False):
        return
    with taker.working:
        taker.waiting.release()
        if waiting(store, most=1):
            time.sleep(GATHER_S)
            taker.trouble = _trouble([sys.executable, "-m", "mergescope", "inbox", str(store)])


def _trouble(command: list[str]) -> str:
    """Run a command; the last line that it said where it failed, else nothing."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        return f"mergescope inbox did not end within {LONGEST_S:.0f} s"
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["mergescope inbox failed"])[-1]


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
    """One line for each file that lay in the inbox and was no slip, and one for why slips still wait; raw."""
    folder = inbox_of(store_path()) / ASIDE
    lines = [path.read_text(encoding="utf-8", errors="replace").strip() for path in sorted(folder.glob("*.why"))]
    taker = _TAKERS.get(store_path())
    return lines + ([taker.trouble] if taker is not None and taker.trouble else [])


def _is_aside(store: Path, slip: Slip) -> bool:
    return (inbox_of(store) / ASIDE / file_name(slip)).exists()
