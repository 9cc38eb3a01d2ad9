"""The last stage: which checkpoints a study has, and everything that they are asked and judged by."""

from __future__ import annotations

import functools
import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from eval.chat.budget import Budget
from eval.config import RESERVED, EngineSection, ModelCheckpoint, ServedCheckpoint
from eval.engine import Engine, open_engine, sampling_of
from eval.engines.served import ServedEngine
from eval.engines.served_identity import served_checkpoint, served_sampling
from eval.judges.exact import implied_judges
from eval.pairwise import Pairing
from eval.records import CheckpointJob, Group
from eval.rows import StudyRow
from eval.sweep import run_eval
from merge.bundle import exported_template
from merge.identity import checkpoint_id, input_ids, merge_id, weights_hash
from merge.mergekit_yaml import INPUTS, mergekit_config
from merge.merger import Merger
from merge.points import MergePoint, Role
from merge.sources import Models, local_folder
from merge.weights import StoredWeights
from mergescope.effects import recipe_hash
from mergescope.ground.errors import RecipeError
from mergescope.ground.ids import canonical_json, content_id
from mergescope.ground.progress import Reporter
from mergescope.inputs import open_judges, prompt_sets
from mergescope.merges import merge_weights, mergers_of, models_of
from mergescope.model_headers import known_models
from mergescope.study import Study

MERGES = "merges"
"""What `--only` calls the merges."""
REFERENCES: dict[Role, Literal["base", "model-safe", "model-useful"]] = {
    "base": "base",
    "safe": "model-safe",
    "useful": "model-useful",
}


def sweep(
    study: Study, store: Path, reporter: Reporter, only: Sequence[str] = (), budget: Budget | None = None
) -> None:
    """Have every checkpoint of the study answer and be judged; only what the store lacks is done.

    only: names of `eval.checkpoints`, base, model-safe, model-useful, merges or imported; none: all of them.
    budget: of what the judges may spend; None: no limit.
    """
    sets = prompt_sets(study)
    judges = open_judges(study, budget)
    run_eval(
        store,
        study_row(study),
        list(groups_of(study, reporter, only)),
        sets,
        [*judges, *implied_judges(sets)],
        reporter,
        some=bool(only),
        budget=budget,
        pairing=_pairing(study),
    )


def _pairing(study: Study) -> Pairing | None:
    section = study.recipe.eval.pairwise
    return None if section is None else Pairing(section.baseline, section.checkpoints)


def groups_of(study: Study, reporter: Reporter, only: Sequence[str]) -> Iterator[Group]:
    """The study's checkpoints by the engine that answers for them: its own, then each of `eval.checkpoints`."""
    if own := [name for name in RESERVED if not only or name in only]:
        yield own_group(study, reporter, own)
    seen: dict[str, str] = {}
    for position, checkpoint in enumerate(study.recipe.eval.checkpoints):
        if not only or checkpoint.name in only:
            group = other_group(study, position, checkpoint, reporter)
            first = seen.setdefault(group.jobs[0].checkpoint_id, checkpoint.name)
            if first != checkpoint.name:
                what, where = f"is the same checkpoint as {first}", f"{study.file}: eval.checkpoints[{position}]"
                raise RecipeError(what, where=where, value=checkpoint.name, cure="leave one of them out")
            yield group


def own_group(study: Study, reporter: Reporter, names: Sequence[str]) -> Group:
    """The three models and the merges, as far as `names` has them; one engine answers for all."""
    recipe = study.recipe
    models = models_of(study, reporter)
    # before any masks are drawn: a missing tokenizer shall cost seconds
    # model-safe carries the chat template that both fine-tunes learnt; a raw base has none
    sampling = sampling_of(recipe.eval.sampling, recipe.eval.engine, models.safe, recipe.seed)
    jobs = [job for job in references(models) if job.label in names]
    if MERGES in names:
        jobs += merges(study, models, reporter)
    code = models.trust_remote_code
    return Group(functools.partial(_quiet_engine, recipe.eval.engine, models.safe, may_run_code=code), sampling, jobs)


def other_group(
    study: Study, position: int, checkpoint: ModelCheckpoint | ServedCheckpoint, reporter: Reporter
) -> Group:
    """One of `eval.checkpoints`, which has an engine of its own."""
    if isinstance(checkpoint, ServedCheckpoint):
        return served_group(study, checkpoint, reporter)
    recipe, code = study.recipe.eval, study.recipe.merge.trust_remote_code
    folder = local_folder(study.named(checkpoint.model), may_run_code=code)
    weights = StoredWeights(folder)
    name = checkpoint_id(folder)
    _refuse_own(study, name, f"{study.file}: eval.checkpoints[{position}].model", checkpoint.model)
    sampling = sampling_of(recipe.sampling, recipe.engine, folder, study.recipe.seed)
    job = CheckpointJob(name, "other", checkpoint.name, None, {"weights": weights_hash(folder)}, weights)
    return Group(functools.partial(_quiet_engine, recipe.engine, folder, may_run_code=code), sampling, [job])


def served_group(study: Study, section: ServedCheckpoint, reporter: Reporter) -> Group:
    """A model behind a server; it is asked once who it is."""
    identity = served_checkpoint(section, study.folder)
    if identity.note is not None:
        reporter.say(identity.note)
    sampling = served_sampling(study.recipe.eval.sampling, study.recipe.seed)
    job = CheckpointJob(identity.checkpoint_id, "served", section.name, None, identity.recipe, weights=None)
    return Group(lambda: ServedEngine(section, identity, study.folder), sampling, [job], measures=False)


def _refuse_own(study: Study, name: str, where: str, named: str) -> None:
    """Refuse a model that the study has anyway, as far as its own are here: it would be asked in two ways."""
    for own in known_models(study):
        if own.folder is not None and checkpoint_id(own.folder) == name:
            what = f"is the study's own {REFERENCES[own.role]}"
            raise RecipeError(what, where=where, value=named, cure="leave it out")


def _quiet_engine(section: EngineSection, folder: Path, *, may_run_code: bool) -> Engine:
    """The recipe's engine, without transformers' own bar beside ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    return open_engine(section, folder, may_run_code=may_run_code)


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
        weights = StoredWeights(folder)
        yield CheckpointJob(
            checkpoint_id=checkpoint_id(folder),
            kind=kind,
            label=kind,
            point=None,
            recipe={"weights": weights_hash(folder)},
            weights=weights,
        )


def merges(study: Study, models: Models, reporter: Reporter) -> Iterator[CheckpointJob]:
    """The recipe's points, mask seed after mask seed, ratios rising."""
    points = study.recipe.points
    for seed, merger in mergers_of(study, models, reporter):
        for point in points:
            if point.mask_seed == seed:
                yield merge_job(study, point, models, merger)


def merge_job(study: Study, point: MergePoint, models: Models, merger: Merger) -> CheckpointJob:
    """One merge as a checkpoint; its weights are blended when they are asked for. merger: that of `merger_of`."""
    weights = merge_weights(study, point, models)
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
        weights=weights,
        samples=study.recipe.eval.samples_at(point.ratio),
        judge_repeats=study.recipe.eval.judge_repeats_at(point.ratio),
    )
