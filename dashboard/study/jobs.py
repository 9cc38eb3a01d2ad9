"""Long exports in processes of their own, known by their files alone: closing a tab or the server ends none of them.

A job has a folder. Its process holds an inherited lock on `lock`, which falls with it however it ends; `progress.json`
is what it says of itself, `log.txt` what it printed, `job.json` how it was started, and `bundle` what it made.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dashboard.study.runs import Progress, progress_in
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import disk_refusals, read_json, write_json
from mergescope.ground.progress import PROGRESS

EXPORTS = "exports"
"""Folder of a study's jobs, inside the study's own."""
LOCK, RECORD, LOG, MADE = "lock", "job.json", "log.txt", "bundle"
GRACE_S = 5.0
"""Seconds between asking a process to end and killing it."""
LONGEST_TAIL = 4096
"""Bytes of the log that are looked at."""
State = Literal["running", "done", "cancelled", "stopped"]
_STARTED: dict[Path, subprocess.Popen[bytes]] = {}
"""By folder, the last job that this server started itself."""


@dataclass(frozen=True, slots=True)
class Job:
    """One export, as its files tell."""

    state: State
    """stopped: it ended without what it was to make; it failed, was killed, or the machine went down."""
    started: float
    """Seconds since 1970."""
    choice_id: str
    """The choice that it was started for; empty: none."""
    progress: Progress | None
    """What it is at; None before its first work, and where nobody counts."""
    last: str
    """The last line that it printed, raw."""


def job_folder(study_folder: Path, checkpoint_id: str) -> Path:
    """Of the job that writes one point's checkpoint."""
    return study_folder / EXPORTS / checkpoint_id


def start(folder: Path, command: Sequence[str], choice_id: str = "") -> None:
    """Start a job; what an earlier one made in this folder goes.

    command: writes `bundle` and `progress.json` in the folder. Raises MergescopeError where one is running, or the
    disk refuses.
    """
    with disk_refusals(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _lock(folder, patience_s=1.0) as descriptor:
            if descriptor is None:
                raise MergescopeError(
                    "this point is being written already", where=folder.name, cure="wait, or cancel it"
                )
            _clear(folder)
            record = {"started": time.time(), "choice_id": choice_id, "cancelled": False}
            write_json(folder / RECORD, {**record, "pid": None})
            with (folder / LOG).open("wb") as log:
                _STARTED[folder] = process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[descriptor],
                    start_new_session=True,
                )
            write_json(folder / RECORD, {**record, "pid": process.pid})


def cancel(folder: Path) -> None:
    """End a job and remove what it has half written; nothing where none is running."""
    if not _is_running(folder):
        return
    record = _record(folder)
    if not isinstance(record["pid"], int):
        raise MergescopeError("its process is not known", where=folder.name, cure="end it by hand")
    write_json(folder / RECORD, {**record, "cancelled": True})
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(record["pid"], sign)
        if _ended(folder):
            break
    with _lock(folder) as descriptor:
        if descriptor is not None:
            _clear_parts(folder)


def job_of(folder: Path) -> Job | None:
    """The latest job of a folder; None where there was none. Raises MergescopeError where its files are no such."""
    if not (folder / RECORD).is_file():
        return None
    if folder in _STARTED:
        _STARTED[folder].poll()  # no zombie stays
    running = _is_running(folder)  # before the rest: a job that ends meanwhile is told by what it made
    record = _record(folder)
    return Job(
        state=_state(folder, record, running=running),
        started=float(record["started"]),
        choice_id=str(record["choice_id"]),
        progress=progress_in(folder),
        last=_last_line(folder / LOG),
    )


def _state(folder: Path, record: dict[str, Any], *, running: bool) -> State:
    if running:
        return "running"
    if (folder / MADE).is_dir():
        return "done"
    return "cancelled" if record["cancelled"] else "stopped"


def _record(folder: Path) -> dict[str, Any]:
    record = read_json(folder / RECORD)
    known = isinstance(record, dict) and {"pid", "started", "choice_id", "cancelled"} <= set(record)
    if not known or not isinstance(record["started"], int | float):
        raise MergescopeError("not what starts a job", where=folder / RECORD, cure="remove it, and start again")
    return dict(record)


def _is_running(folder: Path) -> bool:
    with _lock(folder) as descriptor:
        return descriptor is None


@contextmanager
def _lock(folder: Path, patience_s: float = 0.0) -> Iterator[int | None]:
    """The job's lock, which a process started in the block inherits and keeps; None where one holds it.

    patience_s: how long to try; pages that only look hold it for a moment.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        yield descriptor if _taken(descriptor, time.monotonic() + patience_s) else None
    finally:
        os.close(descriptor)  # not unlocked: a child that has it holds it on


def _taken(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _ended(folder: Path) -> bool:
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        if not _is_running(folder):
            return True
        time.sleep(0.05)
    return False


def _clear(folder: Path) -> None:
    shutil.rmtree(folder / MADE, ignore_errors=True)
    _clear_parts(folder)
    (folder / PROGRESS).unlink(missing_ok=True)


def _clear_parts(folder: Path) -> None:
    for part in folder.glob(f".{MADE}.*"):
        shutil.rmtree(part, ignore_errors=True)


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - LONGEST_TAIL))
            tail = stream.read()
    except OSError:
        return ""
    lines = tail.decode("utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
