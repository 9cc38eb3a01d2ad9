"""One process at a time works on a study; the lock falls with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import disk_refusals

LOCK = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the study folder for this process; raises MergescopeError naming the process that holds it.

    Raises it too where the folder cannot be written.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise MergescopeError("no folder, and the study's folder belongs there", where=folder, cure="rename it")
    with disk_refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # Never removed: a process that waits on a removed file and one that makes it anew would both hold a lock.
        stream = (folder / LOCK).open("a+", encoding="utf-8")
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read(32).strip() or "another process"
            cure = "wait until it ends, or stop it (`mergescope status` shows how far it is)"
            raise MergescopeError(f"this study is being run by {holder}", where=folder, cure=cure) from None
        stream.truncate(0)
        stream.write(f"process {os.getpid()}")
        stream.flush()
        yield


def holder(folder: Path) -> str | None:
    """Who works on the study at this moment (`process 123`), or None."""
    try:
        with (folder / LOCK).open("r", encoding="utf-8") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return stream.read(32).strip() or "another process"
    except FileNotFoundError:
        pass
    return None
