"""A training under way: its work folder, marked by job.json from the first step until its model is whole."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mergescope.ground.files import read_json, write_json
from mergescope.ground.progress import Reporter
from trainer.checkpoints import last_whole

JOB = "job.json"
"""Marks an unfinished training: its data are still needed."""
TRAINING = "training"
"""Folder in the study's with a work folder for each role."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be trained, as a process of its own reads it."""

    stage_hash: str
    """Of everything that changes the result: a work folder of another hash is not gone on from."""
    role: Literal["safe", "useful"]
    section: dict[str, Any]
    """The recipe's section as JSON."""
    base: str
    """Folder of the base."""
    triples: tuple[str, ...]
    """The files and folders, never their texts."""
    seed: int
    logps: str
    """File of what the base holds of the triples (`trainer.logps`)."""
    data: tuple[str, ...]
    """Hash of what each of `triples` held when the training began."""
    unreviewed: bool = False
    """Whether pending pairs are trained on, where `triples` names folders of made pairs."""


def work_folder(study: Path, role: str) -> Path:
    """Where the training of a role keeps checkpoints and curve; `study` is the study's folder."""
    return study / TRAINING / role


def begin(work: Path, job: Job, reporter: Reporter) -> None:
    """Take up the unfinished training in `work` if it is this very one, from a whole checkpoint; else begin anew."""
    if is_unfinished(work) and read_json(work / JOB)["stage_hash"] == job.stage_hash:
        last_whole(work, reporter)
    else:
        shutil.rmtree(work, ignore_errors=True)
    write_json(work / JOB, asdict(job))  # also of one that goes on: the study may have been moved


def is_unfinished(work: Path) -> bool:
    """Whether a training in this work folder has begun and not ended."""
    return (work / JOB).is_file()


def read_job(work: Path) -> Job:
    """The job of a work folder."""
    raw = read_json(work / JOB)
    return Job(**{**raw, "triples": tuple(raw["triples"]), "data": tuple(raw["data"])})


def end(work: Path) -> None:
    """Remove the work folder of a training whose model is whole, and the folder around it once it is empty."""
    shutil.rmtree(work, ignore_errors=True)
    if work.parent.is_dir() and not any(work.parent.iterdir()):
        work.parent.rmdir()
