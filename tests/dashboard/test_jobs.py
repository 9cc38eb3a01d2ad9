"""Jobs outlive their starter, are one at a time, and say how they ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dashboard.study import jobs
from dashboard.study.jobs import Job, cancel, job_of, start
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import read_json

WAITS = "import pathlib, sys, time; pathlib.Path(sys.argv[1], '.bundle.1.part').mkdir(); print('in'); time.sleep(60)"
MAKES = "import pathlib, sys; pathlib.Path(sys.argv[1], 'bundle').mkdir(); print('made')"
FAILS = "import sys; print('first'); sys.exit('error: the disk is full')"
STARTS = """
import sys
from pathlib import Path
from dashboard.study import jobs
jobs.start(Path(sys.argv[1]), [sys.executable, "-c", sys.argv[2], sys.argv[1]])
print("started")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "exports" / "c1_a"
    yield path
    if path.exists():
        cancel(path)


def command(code: str, folder: Path) -> list[str]:
    return [sys.executable, "-c", code, str(folder)]


def when(folder: Path, holds: Callable[[Job], bool], seconds: float = 20.0) -> Job:
    deadline = time.monotonic() + seconds
    while True:
        job = job_of(folder)
        if job is not None and holds(job):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.02)


def ended(job: Job) -> bool:
    return job.state != "running"


def test_a_job_ends_with_what_it_made(folder: Path) -> None:
    assert job_of(folder) is None
    start(folder, command(MAKES, folder), "x1_choice")
    job = when(folder, ended)
    assert (job.state, job.last, job.choice_id) == ("done", "made", "x1_choice")


def test_one_at_a_time(folder: Path) -> None:
    start(folder, command(WAITS, folder))
    with pytest.raises(MergescopeError, match="written already"):
        start(folder, command(MAKES, folder))
    assert job_of(folder) is not None
    assert not (folder / jobs.MADE).exists()


def test_a_cancelled_job_leaves_nothing_and_can_be_started_again(folder: Path) -> None:
    start(folder, command(WAITS, folder))
    when(folder, lambda job: job.last == "in" or (folder / ".bundle.1.part").exists())
    cancel(folder)
    job = job_of(folder)
    assert job is not None
    assert job.state == "cancelled"
    assert not list(folder.glob(".bundle*"))
    start(folder, command(MAKES, folder))
    assert when(folder, ended).state == "done"
    cancel(folder)  # nothing runs: what was made stays
    assert job_of(folder) is not None
    assert when(folder, ended).state == "done"


def test_a_killed_job_says_so(folder: Path) -> None:
    start(folder, command(WAITS, folder))
    os.kill(read_json(folder / jobs.RECORD)["pid"], signal.SIGKILL)
    assert when(folder, ended).state == "stopped"
    start(folder, command(MAKES, folder))
    assert when(folder, ended).state == "done"
    assert not list(folder.glob(".bundle*"))


def test_a_failing_job_shows_its_last_line(folder: Path) -> None:
    start(folder, command(FAILS, folder))
    job = when(folder, ended)
    assert (job.state, job.last) == ("stopped", "error: the disk is full")


def test_a_job_outlives_the_server_that_started_it(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", STARTS, str(folder), WAITS], capture_output=True, text=True, check=True
    )
    assert done.stdout == "started\n"
    job = when(folder, lambda job: job.state == "running" and (folder / ".bundle.1.part").exists())
    assert job.state == "running"
    cancel(folder)  # by another server than the one that started it
    assert when(folder, ended).state == "cancelled"


def test_a_foreign_record_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / jobs.RECORD).write_text("[]")
    with pytest.raises(MergescopeError, match="not what starts a job"):
        job_of(folder)
