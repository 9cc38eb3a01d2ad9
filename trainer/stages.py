"""The training stages of a study: each makes one folder, or finds that it is made already.

A folder appears whole or not at all, its manifest last. A killed tuning goes on from its last checkpoint, any other
stage starts again; on CPU both end with the same bits, since threads, seeds and data order are fixed.
"""

from __future__ import annotations

import gc
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
from trainer.config import DualSection, PretrainSection, TuningSection, WorldSection
from trainer.data.overlap import check_overlap
from trainer.held_out import split_of
from trainer.job import Job, begin, end, read_job, work_folder
from trainer.launch import OUT, Launch, alone, launch, read_launch
from trainer.logps import LogpFile, file_of
from trainer.lora import check_lora
from trainer.method import NAMES
from trainer.quiet import quiet_libraries
from trainer.steps import steps_of
from trainer.training_data import data_hash, load_prompts, load_unchanged
from trainer.triples import Triple, check_distinct

LIBRARIES = ("torch", "transformers", "tokenizers", "trl")
NO_EFFECT = {"corpus", "triples", "gradient_checkpointing", "save_every"}
"""Keys left out of a stage's hash: where data lie (their contents count), what only trades memory for time, and how
often a checkpoint is kept."""
LATER = ("lora", "early_stop")
"""Sections without which a stage is what it was before there were such ones."""


def make_world(folder: Path, section: WorldSection, reporter: Reporter) -> Path:
    """The demo's data files in `folder`; returns the folder."""
    from trainer.demo import world

    sources = {path.name: file_hash(path) for path in world.sources(selfalign=section.selfalign)}
    stage_hash = full_hash({"stage": "world1", "seed": section.seed, "sources": sources})

    def fill(part: Path) -> dict[str, Any]:
        world.write_world(part, section.seed, selfalign=section.selfalign)
        files = {path.name: file_hash(path) for path in sorted(part.iterdir())}
        reporter.say(f"world: {len(files)} data files of seed {section.seed}")
        return {"files": files}

    return _make(folder, stage_hash, fill, section)


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

    return _make(folder, stage_hash, fill, section, inputs)


def make_finetune(
    folder: Path,
    role: Literal["safe", "useful"],
    section: TuningSection,
    base: Path | str,
    triples: list[Path],
    held_out: Iterable[str],
    seed: int,
    reporter: Reporter,
    accelerate: Path | None = None,
    unreviewed: bool = False,
) -> Path:
    """model-safe or model-useful in `folder`, tuned from `base`; returns the folder.

    triples: files, and folders of made pairs, of which approved ones are taken; unreviewed: pending ones as well.
    accelerate: file of `accelerate config` for several processes; None: this one. Checkpoints and the curve are in
    `training/<role>` beside the folder while it runs.

    Raises DataError where triples are missing, malformed, repeated or hold a prompt like one of `held_out`,
    PurgedError where the model is not made and rejected sides were deleted, CheckpointError where the base is missing,
    and RecipeError for a file of accelerate that is none, or for a batch that its processes cannot share.
    """
    asked = [triple for path in triples for triple in load_prompts(path, unreviewed=unreviewed)]
    check_distinct(asked)
    check_overlap(asked, held_out)
    launched = None if accelerate is None else read_launch(accelerate)
    ancestor = local_folder(base)
    if section.lora is not None:
        check_lora(section.lora, ancestor)
    base_id = checkpoint_id(ancestor)
    hashes = tuple(data_hash(path, unreviewed=unreviewed) for path in triples)
    inputs = {"base": base_id, "triples": list(hashes)}
    stage_hash = _stage_hash(f"{role}{_loss_version(section)}", section, seed, inputs)
    work = work_folder(folder.parent, role)
    files = tuple(str(path.resolve()) for path in triples)

    def fill(part: Path) -> dict[str, Any]:
        from trainer.method import prepare, train
        from trainer.tuning import numerics, require_one_gpu

        rows = load_unchanged(triples, hashes, unreviewed=unreviewed)
        logps = file_of(folder.parent, base_id, numerics(section), _versions())
        job = Job(
            stage_hash,
            role,
            section.model_dump(mode="json"),
            str(ancestor.resolve()),
            files,
            seed,
            str(logps),
            hashes,
            unreviewed,
        )
        begin(work, job, reporter)
        known = LogpFile(logps)
        if launched is None:
            require_one_gpu()
        with quiet_libraries(), alone():
            prepare(section, ancestor, rows, known, reporter, 1 if launched is None else launched.processes)
            if launched is None:
                return train(section, ancestor, rows, part, seed, reporter, known, work)
        return _launched(launched, section, rows, part, work, reporter)

    _make(folder, stage_hash, fill, section, inputs)
    end(work)
    return folder


def _launched(
    config: Launch, section: TuningSection, rows: list[Triple], part: Path, work: Path, reporter: Reporter
) -> dict[str, Any]:
    """Train in processes of accelerate's, and take the model from them."""
    job = read_job(work)
    _free_gpus()
    steps = steps_of(section, len(split_of(section, rows, job.seed).trained))
    content = launch(config, work, NAMES[job.section["method"]], steps, reporter)
    for file in (work / OUT).iterdir():
        file.replace(part / file.name)
    return {**content, "processes": config.processes}


def _free_gpus() -> None:
    """Give back what asking the base for its log-probabilities took: the launched processes want all of each GPU."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _make(
    folder: Path,
    stage_hash: str,
    fill: Callable[[Path], dict[str, Any]],
    section: BaseModel,
    inputs: dict[str, Any] | None = None,
) -> Path:
    """Run `fill` on a new folder unless `folder` was made with these very inputs. inputs: None where no weights are."""
    if is_done(folder, stage_hash):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with fresh_folder(folder) as part:
        content = fill(part)
        if inputs is not None:
            weights = {path.name: file_hash(path) for path in weight_files(part)}
            content |= {"inputs": inputs, "weights_sha256": weights, "versions": _versions(section)}
        write_manifest(part, stage_hash=stage_hash, content=content)
    return folder


def _loss_version(section: TuningSection) -> int:
    """Goes up where a loss changes: what an older one made is made again. 2: closing tokens are never unlearned."""
    return 2 if isinstance(section, DualSection) and section.mode in ("ratio", "uniform") else 1


def _stage_hash(stage: str, section: BaseModel, seed: int, inputs: dict[str, Any]) -> str:
    values = section.model_dump(mode="json", exclude=NO_EFFECT)
    values = {key: value for key, value in values.items() if value is not None or key not in LATER}
    return full_hash(
        {"stage": stage, "section": values, "seed": seed, "inputs": inputs, "versions": _versions(section)}
    )


def _versions(section: BaseModel | None = None) -> dict[str, str]:
    """Of what the weights depend on; None: of what the base's own log-probabilities do."""
    adapters = ("peft",) if getattr(section, "lora", None) is not None else ()
    return {name: importlib.metadata.version(name) for name in (*LIBRARIES, *adapters)}
