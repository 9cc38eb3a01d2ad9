"""What a killed training goes on from: the library's checkpoints, sealed once they are whole.

Optimizer and random states are pickles. They are written and read in the study's own folder alone, hashed when they are
sealed and compared before they are read, which transformers does with `weights_only=True`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from mergescope.ground.files import read_json, write_json
from mergescope.ground.ids import file_hash
from mergescope.ground.progress import Reporter

SEAL = "seal.json"
"""Written last into a checkpoint: sha256 of each of its files."""
STATE = "trainer_state.json"
ARGUMENTS = "training_args.bin"
"""A pickle of the library's, which nothing here reads: removed at once."""


def seal(work: Path, step: int, best_step: int | None) -> None:
    """Make the checkpoint of `step` the one to go on from, and drop all others but that of `best_step`.

    Steps are counted from 1. best_step: that of the best weights so far; None where none are kept.
    """
    checkpoint = _folder(work, step)
    (checkpoint / ARGUMENTS).unlink(missing_ok=True)
    files = {str(file.relative_to(checkpoint)): _hash_on_disk(file) for file in _files(checkpoint)}
    write_json(checkpoint / SEAL, files)
    for other in _found(work):
        if other not in (checkpoint, best_step and _folder(work, best_step)):
            _remove(other)


def last_whole(work: Path, reporter: Reporter) -> Path | None:
    """The newest checkpoint whose files are those that were sealed; None where there is none. Others are removed.

    One that was sealed and has changed since is told to the reporter. So is one that is of no use without it: the best
    weights so far are in no other place, and without them the library would keep the last ones.
    """
    usable: list[Path] = []
    for checkpoint in sorted(_found(work), key=_step):
        if not (checkpoint / SEAL).is_file():
            shutil.rmtree(checkpoint)
        elif not is_whole(checkpoint):
            reporter.say(f"{checkpoint.name} is damaged, and is not used")
            _remove(checkpoint)
        elif (best := best_of(checkpoint)) not in (checkpoint, *usable):
            reporter.say(f"{best.name}, of the best weights, is not there any more: {checkpoint.name} is not used")
            _remove(checkpoint)
        else:
            usable.append(checkpoint)
    return usable[-1] if usable else None


def newest(work: Path) -> Path | None:
    """The newest sealed checkpoint, whose files nothing looks at; None where there is none."""
    return max((path for path in _found(work) if (path / SEAL).is_file()), key=_step, default=None)


def is_whole(checkpoint: Path) -> bool:
    """Whether a sealed checkpoint's files are those that were sealed."""
    sealed: dict[str, str] = read_json(checkpoint / SEAL)
    found = {str(file.relative_to(checkpoint)) for file in _files(checkpoint)}
    return found == sealed.keys() and all(file_hash(checkpoint / name) == digest for name, digest in sealed.items())


def state_of(checkpoint: Path) -> dict[str, Any]:
    """What the library says of the training at the checkpoint: `global_step`, `max_steps`, `log_history` and others."""
    state: dict[str, Any] = read_json(checkpoint / STATE)
    return state


def best_of(checkpoint: Path) -> Path:
    """The checkpoint of the best weights by then: of the least loss on held-out triples, else this one."""
    best = state_of(checkpoint).get("best_global_step")
    return checkpoint if best is None else _folder(checkpoint.parent, best)


def _found(work: Path) -> list[Path]:
    return [path for path in work.glob("checkpoint-*") if path.is_dir()]


def _folder(work: Path, step: int) -> Path:
    return work / f"checkpoint-{step}"


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _files(checkpoint: Path) -> list[Path]:
    return sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.name != SEAL)


def _hash_on_disk(file: Path) -> str:
    """sha256 of a file whose bytes outlive the machine: what stood in for it until now is removed next."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    return file_hash(file)


def _remove(checkpoint: Path) -> None:
    """The seal goes first: a kill in between leaves nothing that looks damaged."""
    (checkpoint / SEAL).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)
