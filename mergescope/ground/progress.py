"""Progress of long work: bars on a terminal, plain lines elsewhere, and progress.json for the dashboard."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as BarTask
from rich.text import Text

from mergescope.ground.files import write_json

LINE_SECONDS = 5.0
"""Seconds between two plain lines where the output is not a terminal."""
HEARTBEAT_SECONDS = 1.0
"""Seconds between two writes of progress.json."""


class Task:
    """One counted piece of work, such as the 40 steps of a training or the 11 points of a sweep."""

    def __init__(self, reporter: Reporter, name: str, total: int, unit: str) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        self.note = ""
        self.started = time.monotonic()
        self._reporter = reporter

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """`count` more units are done; `note` replaces what stands beside the bar (loss, error counts)."""
        self.done += count
        if note is not None:
            self.note = note
        self._reporter.changed(self)

    @property
    def rate(self) -> float:
        """Units a second since the start; 0 before the first."""
        seconds = time.monotonic() - self.started
        return self.done / seconds if seconds > 0 else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the present rate; None while nothing is done."""
        return (self.total - self.done) / self.rate if self.done else None


class Reporter:
    """Shows tasks one after another. Stages take one and never print by themselves."""

    def __init__(self, stream: TextIO | None = None, file: Path | None = None) -> None:
        self._console = None if stream is None else Console(file=stream, highlight=False, markup=False)
        """Where bars (on a terminal) or lines go; None is silent."""
        self._file = file
        """progress.json of the study; None writes none."""
        self._stage = ""
        self._bar: Progress | None = None
        self._lined = 0.0
        self._beaten = 0.0

    def stage(self, name: str) -> None:
        """Name the stage that the following tasks belong to."""
        self._stage = name

    @contextmanager
    def task(self, name: str, total: int, unit: str = "") -> Iterator[Task]:
        """Count `total` units of work called `name`; the block's end writes its closing line."""
        task = Task(self, name, total, unit)
        self._lined = task.started
        self._beat(task, "running", force=True)
        state = "failed"
        try:
            with self._drawn(task):
                yield task
            state = "done"
        finally:
            seconds = time.monotonic() - task.started
            self.say(f"{task.name}: {state}, {task.done}/{task.total} {task.unit} in {seconds:.1f} s")
            self._beat(task, state, force=True)

    def say(self, text: str) -> None:
        """One line of news; control characters in it are dropped."""
        if self._console is not None:
            self._console.print("".join(c for c in text if c.isprintable()), soft_wrap=True)

    def changed(self, task: Task) -> None:
        """Called by a task that moved: updates the bar, or prints a line every few seconds."""
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=task.done, note=task.note)
        elif now - self._lined >= LINE_SECONDS:
            self._lined = now
            self.say(_line(task))
        self._beat(task, "running")

    @contextmanager
    def _drawn(self, task: Task) -> Iterator[None]:
        if self._console is None or not self._console.is_terminal:
            yield
            return
        columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), _Rate())
        with Progress(
            *columns, TimeRemainingColumn(), TextColumn("{task.fields[note]}"), console=self._console, transient=True
        ) as self._bar:
            self._bar.add_task(task.name, total=task.total, note="")
            yield
        self._bar = None

    def _beat(self, task: Task, state: str, *, force: bool = False) -> None:
        now = time.monotonic()
        if self._file is None or (not force and now - self._beaten < HEARTBEAT_SECONDS):
            return
        self._beaten = now
        write_json(
            self._file,
            {
                "pid": os.getpid(),
                "heartbeat": time.time(),
                "stage": self._stage,
                "task": task.name,
                "state": state,
                "done": task.done,
                "total": task.total,
                "unit": task.unit,
                "rate": round(task.rate, 3),
                "remaining_s": None if task.remaining_s is None else round(task.remaining_s, 1),
                "note": task.note,
            },
        )


class _Rate(ProgressColumn):
    """Units a second, which rich offers only for bytes."""

    def render(self, task: BarTask) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


def _line(task: Task) -> str:
    share = task.done / task.total if task.total else 1.0
    left = "" if task.remaining_s is None else f", {_clock(task.remaining_s)} left"
    note = f"  {task.note}" if task.note else ""
    return f"{task.name}: {share:4.0%} {task.done}/{task.total} {task.unit}, {task.rate:.1f}/s{left}{note}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
