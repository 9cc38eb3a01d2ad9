"""What a study's folder says of its run: stages, the work going on, and the curves of both trainings. Files alone."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dashboard.study.recipes import RecipeFile
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import MANIFEST, read_json, read_manifest
from mergescope.ground.progress import LOG, PROGRESS
from trainer.curve import HELD_OUT, Point, read_curve
from trainer.job import is_unfinished, work_folder

TAIL = 16_384
"""Bytes at the end of the log that are read."""
TAIL_LINES = 40
STALE_S = 15.0
"""Age of a heartbeat, in seconds, after which its process is taken to be gone: one comes each second."""
STAGES = ("world", "base", "selfalign", "safe", "useful", "inputs", "masks", "sweep")
"""All stages that are shown, in their order."""
FOLDERS = {"selfalign": "data/selfalign", "safe": "model-safe", "useful": "model-useful"}
"""Folders of stages that are not called like them."""
State = Literal["made", "running", "stopped", "missing"]


@dataclass(frozen=True, slots=True)
class Progress:
    """The work that a process is at, or was at."""

    stage: str
    task: str
    state: str
    """running, done or failed, as the process said last."""
    done: int
    total: int
    unit: str
    rate: float
    """Units a second."""
    remaining_s: float | None
    """None while nothing tells."""
    note: str
    errors: Mapping[str, int]
    """What failed, by kind."""
    age_s: float
    """Seconds since the process last wrote."""

    @property
    def is_alive(self) -> bool:
        """Whether the process was at work a moment ago."""
        return self.state == "running" and self.age_s < STALE_S


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage of a study."""

    name: str
    state: State
    at: float | None
    """When it was made, in seconds since 1970; None where it is not."""


@dataclass(frozen=True, slots=True)
class TrainingCurve:
    """The curve of one training, finished or under way."""

    role: Literal["safe", "useful"]
    points: tuple[Point, ...]
    """`step` with `loss` and the method's own numbers, or with `held_out`."""
    is_whole: bool
    """Whether the training has ended."""

    @property
    def steps(self) -> int:
        """Optimizer steps so far."""
        return max((int(point["step"]) for point in self.points), default=0)

    @property
    def metrics(self) -> list[str]:
        """What the points tell beside the loss, in order."""
        names = [name for point in self.points for name in point if name not in ("step", "loss", HELD_OUT)]
        return list(dict.fromkeys(names))

    def series(self, name: str) -> tuple[list[float], list[float]]:
        """Steps and values of one of the numbers."""
        found = [point for point in self.points if name in point]
        return [point["step"] for point in found], [point[name] for point in found]


@dataclass(frozen=True, slots=True)
class Run:
    """A study's run."""

    study: str
    stages: tuple[StageRow, ...]
    progress: Progress | None
    """None where nothing has run."""
    curves: tuple[TrainingCurve, ...]
    log: tuple[str, ...]
    """The last lines that its runs said, the newest first, raw, each after its time in UTC."""


def run_of(recipe: RecipeFile) -> Run:
    """The run of a recipe's study; raises MergescopeError for a file of it that is malformed."""
    progress = progress_in(recipe.folder)
    stages = tuple(_stage(recipe.folder, name, progress) for name in _wanted(recipe))
    return Run(recipe.study, stages, progress, tuple(_curves(recipe.folder)), tuple(_tail(recipe.folder / LOG)))


def progress_of(recipe: RecipeFile) -> Progress | None:
    """The work that a recipe's study is at, or was at last; raises MergescopeError where its file is malformed."""
    return progress_in(recipe.folder)


def last_active(recipe: RecipeFile) -> float:
    """When the study's folder last heard of a run, in seconds since 1970; 0 where it never did."""
    file = recipe.folder / PROGRESS
    return file.stat().st_mtime if file.is_file() else 0.0


def progress_in(folder: Path) -> Progress | None:
    """What a process wrote of its work into `folder`; None where none did. Raises MergescopeError for another file."""
    if not (folder / PROGRESS).is_file():
        return None
    raw = read_json(folder / PROGRESS)
    try:
        return Progress(
            stage=str(raw["stage"]),
            task=str(raw["task"]),
            state=str(raw["state"]),
            done=int(raw["done"]),
            total=int(raw["total"]),
            unit=str(raw["unit"]),
            rate=float(raw["rate"]),
            remaining_s=None if raw["remaining_s"] is None else float(raw["remaining_s"]),
            note=str(raw["note"]),
            errors={str(kind): int(count) for kind, count in raw["errors"].items()},
            age_s=max(0.0, time.time() - float(raw["heartbeat"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        cure = "remove it; the next run writes it anew"
        raise MergescopeError("not what a run writes", where=folder / PROGRESS, cure=cure) from None


def _tail(log: Path) -> list[str]:
    """The last lines of a log, the newest first; of a longer one the first line read is not whole and left out."""
    if not log.is_file():
        return []
    with log.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - TAIL))
        lines = stream.read().decode("utf-8", "replace").splitlines()
    return lines[int(size > TAIL) :][: -TAIL_LINES - 1 : -1]


def _wanted(recipe: RecipeFile) -> Iterator[str]:
    """The stages that the recipe asks for, and those that have left something."""
    training, data = (
        section if isinstance(section := recipe.raw.get(name), dict) else {} for name in ("train", "data")
    )
    asked = {
        "world": bool(recipe.raw.get("world")),
        "base": bool(training.get("pretrain")),
        "selfalign": bool(data.get("selfalign")),
        "safe": bool(training),
        "useful": bool(training),
        "sweep": True,
    }
    for name in STAGES:
        if asked.get(name, False) or _made(recipe.folder, name) is not None:
            yield name


def _stage(folder: Path, name: str, progress: Progress | None) -> StageRow:
    at = _made(folder, name)
    if progress is not None and progress.stage == name and progress.state != "done":
        return StageRow(name, "running" if progress.is_alive else "stopped", at)
    if name == "sweep" and progress is not None and progress.stage == name:
        at = time.time() - progress.age_s
    return StageRow(name, "missing" if at is None else "made", at)


def _made(folder: Path, name: str) -> float | None:
    """When the stage's newest manifest was written; the sweep leaves none."""
    manifests = list((folder / FOLDERS.get(name, name)).glob(f"**/{MANIFEST}"))
    return max((manifest.stat().st_mtime for manifest in manifests), default=None)


def _curves(folder: Path) -> Iterator[TrainingCurve]:
    for role in ("safe", "useful"):
        work = work_folder(folder, role)
        if is_unfinished(work):
            yield TrainingCurve(role, tuple(read_curve(work)), is_whole=False)
        elif (manifest := read_manifest(folder / f"model-{role}")) is not None:
            yield TrainingCurve(role, tuple(_kept(manifest)), is_whole=True)


def _kept(manifest: Mapping[str, Any]) -> Iterator[Point]:
    """The points that a manifest keeps."""
    for number, point in enumerate(manifest.get("steps", []), start=1):
        yield {"step": number, **point}
    for look in manifest.get("held_out", []):
        yield {"step": look["step"], HELD_OUT: look["loss"]}
