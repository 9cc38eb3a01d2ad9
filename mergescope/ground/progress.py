"""Progress of long work: bars on a terminal, plain lines elsewhere, and progress.json for the dashboard."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
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

from mergescope.ground.errors import MergescopeError, printable
from mergescope.ground.files import disk_refusals, write_json
from mergescope.ground.units import amounts_text

PROGRESS = "progress.json"
"""File of a study's folder that says how far its work is."""
LOG = "run.log"
"""File of a study's folder that keeps what its runs said, a line each, after the time in UTC."""
LONGEST = 2_000
"""Characters of a line in the log."""
LINE_SECONDS = 5.0
"""Seconds between two plain lines where the output is not a terminal."""
HEARTBEAT_SECONDS = 1.0
"""Seconds between two writes of progress.json."""
TELLING = 20
"""Units of work beside a task before its rate says how long the rest takes."""


@dataclass(slots=True)
class Beside:
    """Work that goes on beside a task and grows out of it, as the judgements of a sweep's answers do."""

    done: int = 0
    """Units done now."""
    found: int = 0
    """Units that come of what an earlier run did of the task."""
    grown: int = 0
    """Units that came of what was done of the task now."""
    used: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    """What it took now, by unit: tokens, a currency."""

    @property
    def total(self) -> int:
        """Units known so far."""
        return self.found + self.grown

    @property
    def text(self) -> str:
        """How many of how many, and what they took."""
        used = amounts_text(self.used.copy())
        return f"{self.done}/{self.total}" + (f" ({used})" if used else "")


class Task:
    """One counted piece of work, such as the 40 steps of a training or the 11 points of a sweep.

    Threads may share one.
    """

    def __init__(self, reporter: Reporter, name: str, total: int, unit: str) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        """Units done, those of earlier runs included."""
        self.note = ""
        """What stands beside the bar: the loss, the checkpoint at work."""
        self.errors: Counter[str] = Counter()
        """What failed now, by kind."""
        self.beside: dict[str, Beside] = {}
        """Work that goes on beside this one, by name."""
        self.started = time.monotonic()
        self._found = 0
        self._lock = threading.Lock()
        self._reporter = reporter

    def found(self, count: int) -> None:
        """`count` units were done by an earlier run: they count as done, and not for the rate."""
        with self._lock:
            self._found += count
            self.done += count
        self._reporter.changed(self)

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """`count` more units are done; `note` replaces what stands beside the bar."""
        with self._lock:
            self.done += count
            if note is not None:
                self.note = note
        self._reporter.changed(self)

    @property
    def rate(self) -> float:
        """Units a second since the start; 0 before the first."""
        with self._lock:
            done = self.done - self._found
        return self._per_second(done)

    @property
    def remaining_s(self) -> float | None:
        """Seconds left, at the present rates, until this and all beside it is done; None while nothing tells."""
        with self._lock:
            now, left = self.done - self._found, self.total - self.done
        own = left / self._per_second(now) if left and now else None if left else 0.0
        scale = (now + left) / now if now else 1.0
        slower = [self._remaining_beside(beside, scale) for beside in self.beside.values()]
        if own is None or (not left and None in slower):
            return None
        return max(own, *(seconds for seconds in slower if seconds is not None), 0.0)

    def _remaining_beside(self, beside: Beside, scale: float) -> float | None:
        """Seconds left of work beside, which grows with the task; None while too little of it is done to tell."""
        expected = beside.found + beside.grown * scale
        if beside.done >= expected:
            return 0.0
        return (expected - beside.done) / self._per_second(beside.done) if beside.done >= TELLING else None

    @property
    def text(self) -> str:
        """The note, the work beside, and the errors so far, by kind."""
        beside = [f"{name} {b.text}" for name, b in self.beside.items()]
        errors = [f"{kind} {count}" for kind, count in sorted(self.errors.items())]
        return ", ".join(filter(None, [self.note, *beside])) + (f" ({', '.join(errors)})" if errors else "")

    def _per_second(self, count: int) -> float:
        seconds = time.monotonic() - self.started
        return count / seconds if seconds > 0 else 0.0


class Reporter:
    """Shows tasks one after another. Stages take one and never print by themselves."""

    def __init__(self, stream: TextIO | None = None, file: Path | None = None, log: Path | None = None) -> None:
        self._console = None if stream is None else Console(file=stream, highlight=False, markup=False)
        """Where bars (on a terminal) or lines go; None is silent."""
        self._file = file
        """progress.json of the study; None writes none."""
        self._log = log
        """run.log of the study; None keeps none."""
        self._stage = ""
        self._bar: Progress | None = None
        self._lined = 0.0

    def stage(self, name: str) -> None:
        """Name the stage that the following tasks belong to."""
        self._stage = name

    @contextmanager
    def task(self, name: str, total: int, unit: str = "") -> Iterator[Task]:
        """Count `total` units of work called `name`; the block's end writes its closing line."""
        task = Task(self, name, total, unit)
        self._lined = task.started
        state = "failed"
        try:
            with self._beating(task), self._drawn(task):
                yield task
            state = "done"
        finally:
            seconds = time.monotonic() - task.started
            errors = f" ({', '.join(f'{kind} {n}' for kind, n in sorted(task.errors.items()))})" if task.errors else ""
            try:
                self.say(f"{task.name}: {state}, {task.done}/{task.total} {task.unit} in {seconds:.1f} s{errors}")
            finally:
                self._beat(task, state)

    def say(self, text: str) -> None:
        """One line of news, which the log keeps; control characters in it are dropped."""
        self._show(text)
        self.log(text)

    def log(self, text: str) -> None:
        """Keep a line in the log alone; raises MergescopeError where the disk is full or read-only."""
        if self._log is None:
            return
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {_plain(text)[:LONGEST]}\n"
        with disk_refusals(self._log), self._log.open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(line)

    def changed(self, task: Task) -> None:
        """Called by a task that moved: updates the bar, or prints a line every few seconds."""
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=task.done, note=printable(task.text))
        elif now - self._lined >= LINE_SECONDS:
            self._lined = now
            self._show(_line(task))

    def _show(self, text: str) -> None:
        if self._console is not None:
            self._console.print(_plain(text), soft_wrap=True)

    @contextmanager
    def _drawn(self, task: Task) -> Iterator[None]:
        if self._console is None or not self._console.is_terminal:
            yield
            return
        name, note = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[note]"))
        columns = (name, BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn(), note)
        with Progress(*columns, console=self._console, transient=True) as self._bar:
            self._bar.add_task(printable(task.name), total=task.total, note="")
            yield
        self._bar = None

    @contextmanager
    def _beating(self, task: Task) -> Iterator[None]:
        """Write progress.json every second, however long one unit of the work takes."""
        self._beat(task, "running")
        if self._file is None:
            yield
            return
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(HEARTBEAT_SECONDS):
                try:
                    self._beat(task, "running")
                except MergescopeError:  # the disk refuses: the last beat, at the task's end, says so
                    return

        thread = threading.Thread(target=beat, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self, task: Task, state: str) -> None:
        if self._file is None:
            return
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
                "beside": {
                    name: {"done": b.done, "total": b.total, "used": b.used.copy()}
                    for name, b in task.beside.copy().items()
                },
                "errors": dict(task.errors.copy()),
            },
        )


class _Rate(ProgressColumn):
    """Units a second, which rich offers only for bytes."""

    def render(self, task: BarTask) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s")


def _plain(text: str) -> str:
    return "".join(c for c in text if c.isprintable())


def _line(task: Task) -> str:
    share = task.done / task.total if task.total else 1.0
    left = "" if task.remaining_s is None else f", {_clock(task.remaining_s)} left"
    note = f"  {task.text}" if task.text else ""
    return f"{task.name}: {share:4.0%} {task.done}/{task.total} {task.unit}, {task.rate:.1f}/s{left}{note}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
