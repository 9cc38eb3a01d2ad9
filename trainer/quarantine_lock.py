"""Nothing is deleted from a quarantine that a command works with: a shared lock for use, one alone for deleting.

Between putting a text and naming it in a pair, and between reading a set and training on it, no file says yet that the
text is needed. The locks fall with their processes, however those end.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import disk_refusals
from trainer.quarantine import LOCK, Quarantine


class InUseError(MergescopeError):
    """Nothing can be deleted now: a command works with the quarantine's texts."""


@contextmanager
def in_use(quarantine: Quarantine) -> Iterator[None]:
    """Nothing is deleted within the block, in whichever process; waits for a deletion under way.

    Makes the folder. Raises MergescopeError where the disk is full or read-only.
    """
    quarantine.open_folder()
    with _opened(quarantine) as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        with disk_refusals(quarantine.folder):
            stream.write(f"{os.getpid()}\n")
            stream.flush()
        yield


@contextmanager
def alone(quarantine: Quarantine) -> Iterator[None]:
    """No other process uses the texts within the block; raises InUseError, naming those that do."""
    quarantine.require_own()
    with _opened(quarantine) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            who = ", ".join(map(str, _alive(stream.read().split()))) or "another process"
            cure = "wait until that has ended, or stop it, then run this again"
            raise InUseError(f"the quarantine is in use by {who}", where=quarantine.folder, cure=cure) from None
        stream.truncate(0)
        yield


def _opened(quarantine: Quarantine) -> TextIO:
    """The lock's file, made where there is none and never removed: a process may wait for it.

    It lists the processes that took it since it was last held alone, a line each.
    """
    path: Path = quarantine.folder / LOCK
    with disk_refusals(path):
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
    return os.fdopen(handle, "a+", encoding="utf-8")


def _alive(pids: Iterable[str]) -> Iterator[str]:
    for pid in dict.fromkeys(filter(str.isdecimal, pids)):
        try:
            os.kill(int(pid), 0)  # signal 0 only asks
        except ProcessLookupError:
            continue
        except PermissionError:
            pass  # it is another user's
        yield f"process {pid}"
