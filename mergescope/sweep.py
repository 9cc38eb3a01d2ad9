"""The last stage: which checkpoints a study has, and everything that they are asked and judged by."""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from eval.config import EngineSection
from eval.engine import Engine, open_engine, sampling_of
from eval.judge import open_judge
from eval.records import CheckpointJob
from eval.rows import StudyRow
from eval.sweep import run_eval
from merge.bundle import exported_template
from merge.identity import checkpoint_id, input_ids, merge_id, weights_hash
from merge.mergekit_yaml import INPUTS, mergekit_config
from merge.merger import Merger
from merge.points import MergePoint, Role, grid
from merge.sources import Models
from merge.weights import StoredWeights
from mergescope.effects import recipe_hash
from mergescope.ground.ids import canonical_json, content_id
from mergescope.ground.progress import Reporter
from mergescope.inputs import JOURNAL, prompt_sets
from mergescope.merges import merge_weights, mergers_of, models_of
from mergescope.study import Study

REFERENCES: dict[Role, Literal["base", "model-safe", "model-useful"]] = {
    "base": "base",
    "safe": "model-safe",
    "useful": "model-useful",
}


def sweep(study: Study, store: Path, reporter: Reporter) -> None:
    """Have every checkpoint of the study answer and be judged; only what the store lacks is done."""
    recipe = study.recipe
    models = models_of(study, reporter)
    # before any masks are drawn: a missing tokenizer shall cost seconds
    sampling = sampling_of(recipe.eval.sampling, recipe.eval.engine, models.safe, recipe.seed)
    jobs = [*references(models), *merges(study, models, reporter)]
    run_eval(
        store,
        study_row(study),
        jobs,
        prompt_sets(study),
        # model-safe carries the chat template that both fine-tunes learnt; a raw base has none
        functools.partial(_quiet_engine, recipe.eval.engine, models),
        [open_judge(judge, study.folder / JOURNAL) for judge in recipe.eval.judges],
        sampling,
        reporter,
    )


def _quiet_engine(section: EngineSection, models: Models) -> Engine:
    """The recipe's engine, without transformers' own bar beside ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    return open_engine(section, models.safe, may_run_code=models.trust_remote_code)


def study_row(study: Study) -> StudyRow:
    """The study as the store knows it: found by its name, whatever becomes of its recipe."""
    recipe = study.recipe
    text = canonical_json(recipe.model_dump(mode="json", by_alias=True))
    return StudyRow(study_id(study), recipe.study, text, recipe_hash(recipe))


def study_id(study: Study) -> str:
    """Id of the study in the store."""
    return content_id("y1", [study.recipe.study])


def references(models: Models) -> Iterator[CheckpointJob]:
    """The base and the two fine-tunes themselves."""
    for role, kind in REFERENCES.items():
        folder = models.folder(role)
        yield CheckpointJob(
            checkpoint_id=checkpoint_id(folder),
            kind=kind,
            label=kind,
            point=None,
            recipe={"weights": weights_hash(folder)},
            weights=StoredWeights(folder),
        )


def merges(study: Study, models: Models, reporter: Reporter) -> Iterator[CheckpointJob]:
    """The points of the recipe's grid, mask seed after mask seed, ratios rising."""
    points = grid(study.recipe.merge)
    for seed, merger in mergers_of(study, models, reporter):
        for point in points:
            if point.mask_seed == seed:
                yield merge_job(study, point, models, merger)


def merge_job(study: Study, point: MergePoint, models: Models, merger: Merger) -> CheckpointJob:
    """One merge as a checkpoint; its weights are blended when they are asked for. merger: that of `merger_of`."""
    inputs = input_ids(point, models)
    made = merger.made
    threads, level, dtype = made.threads, made.kernel_level, made.out_dtype
    template = exported_template(point, models)
    config = mergekit_config(point, INPUTS["base"], INPUTS["safe"], INPUTS["useful"], dtype, template)
    return CheckpointJob(
        checkpoint_id=merge_id(point, inputs, threads=threads, level=level, out_dtype=dtype),
        kind="merge",
        label=point.label,
        point=point,
        recipe={
            "inputs": inputs,
            "way": made.way,
            "weights": dict(made.inputs),
            "threads": threads,
            "kernel_level": level,
            "out_dtype": dtype,
            "versions": {name: importlib.metadata.version(name) for name in ("mergekit", "torch", "transformers")},
            "mergekit": json.loads(canonical_json(config)),  # decimals become texts that keep their digits
        },
        weights=merge_weights(study, point, models),
    )
