"""The training stages of a study: each makes one folder, or finds that it is made already.

A folder appears whole or not at all, its manifest last; a killed stage starts again and, on CPU, ends with the same
bits, since threads, seeds and data order are fixed.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from merge.identity import checkpoint_id
from merge.sources import local_folder, weight_files
from mergescope.ground.files import fresh_folder, is_done, write_manifest
from mergescope.ground.ids import file_hash, full_hash
from mergescope.ground.progress import Reporter
from trainer.config import DpoSection, PretrainSection, WorldSection
from trainer.quiet import quiet_libraries
from trainer.triples import check_distinct, check_overlap, load_triples

LIBRARIES = ("torch", "transformers", "tokenizers", "trl")
NO_EFFECT = {"corpus", "triples", "gradient_checkpointing"}
"""Keys left out of a stage's hash: where data lie (their contents count) and what only trades memory for time."""


def make_world(folder: Path, section: WorldSection, reporter: Reporter) -> Path:
    """The demo's data files in `folder`; returns the folder."""
    from trainer.demo import world

    sources = {path.name: file_hash(path) for path in sorted(world.DATA.glob("*.*")) if path.is_file()}
    stage_hash = full_hash({"stage": "world1", "seed": section.seed, "sources": sources})

    def fill(part: Path) -> dict[str, Any]:
        world.write_world(part, section.seed)
        files = {path.name: file_hash(path) for path in sorted(part.iterdir())}
        reporter.say(f"world: {len(files)} data files of seed {section.seed}")
        return {"files": files}

    return _make(folder, stage_hash, fill)


def make_base(folder: Path, section: PretrainSection, corpus: Path, seed: int, reporter: Reporter) -> Path:
    """A small base trained from scratch in `folder`; returns the folder.

    Raises DataError where the corpus is missing or malformed.
    """
    from trainer.pretrain import read_corpus, train_base

    read_corpus(corpus)
    inputs = {"corpus": file_hash(corpus)}
    stage_hash = _stage_hash("base1", section, seed, inputs)

    def fill(part: Path) -> dict[str, Any]:
        with quiet_libraries():
            return train_base(section, corpus, part, seed, reporter)

    return _make(folder, stage_hash, fill, inputs)


def make_finetune(
    folder: Path,
    role: Literal["safe", "useful"],
    section: DpoSection,
    base: Path | str,
    triples: list[Path],
    held_out: Iterable[str],
    seed: int,
    reporter: Reporter,
) -> Path:
    """model-safe or model-useful in `folder`, tuned from `base`; returns the folder.

    Raises DataError where triples are missing, malformed, repeated or hold a prompt of `held_out`, and
    CheckpointError where the base is missing.
    """
    rows = [triple for path in triples for triple in load_triples(path)]
    check_distinct(rows)
    check_overlap(rows, held_out)
    ancestor = local_folder(base)
    inputs = {"base": checkpoint_id(ancestor), "triples": [file_hash(path) for path in triples]}
    stage_hash = _stage_hash(f"{role}1", section, seed, inputs)

    def fill(part: Path) -> dict[str, Any]:
        from trainer.dpo import train_dpo

        with quiet_libraries():
            return train_dpo(section, ancestor, rows, part, seed, reporter)

    return _make(folder, stage_hash, fill, inputs)


def _make(
    folder: Path, stage_hash: str, fill: Callable[[Path], dict[str, Any]], inputs: dict[str, Any] | None = None
) -> Path:
    """Run `fill` on a new folder unless `folder` was made with these very inputs."""
    if is_done(folder, stage_hash):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with fresh_folder(folder) as part:
        content = fill(part)
        if inputs is not None:
            weights = {path.name: file_hash(path) for path in weight_files(part)}
            content |= {"inputs": inputs, "weights_sha256": weights, "versions": _versions()}
        write_manifest(part, stage_hash=stage_hash, content=content)
    return folder


def _stage_hash(stage: str, section: BaseModel, seed: int, inputs: dict[str, Any]) -> str:
    values = section.model_dump(mode="json", exclude=NO_EFFECT)
    return full_hash({"stage": stage, "section": values, "seed": seed, "inputs": inputs, "versions": _versions()})


def _versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in LIBRARIES}
