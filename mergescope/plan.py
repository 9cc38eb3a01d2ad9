"""What a study will take, said before any work: nothing is written, fetched or loaded, and torch is not imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eval.config import EvalSection
from eval.roofline import Gpu, Served
from merge.forecast import (
    Need,
    Rates,
    adapt_need,
    blend_need,
    draw_need,
    export_need,
    hash_need,
    parameters_by_dtype,
    stock_need,
    stored_bytes,
)
from merge.identity import known_weights_hash
from merge.points import MergePoint
from merge.sources import check_models, weight_files
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.files import read_json
from mergescope.ground.memory import memory
from mergescope.ground.units import size_text
from mergescope.inputs import known_prompts
from mergescope.machine import free_bytes, measured_rates
from mergescope.model_headers import (
    KnownModel,
    bytes_to_draw,
    bytes_to_make,
    disk_refusal,
    folders_of,
    known_models,
    merge_inputs,
    undrawn,
)
from mergescope.plan_answers import Asked, GpuPlan, asked_of, beside, gpu_plan, gpu_refusals, served_of
from mergescope.plan_notes import notes_on
from mergescope.plan_records import GridPlan, MergePlan, ModelPlan, Plan, RoomPlan
from mergescope.study import Study


def plan_of(study: Study, gpus: Sequence[tuple[Gpu, int]], hours: float, *, gpus_named: bool) -> Plan:
    """The forecast of a study. gpus: kinds and counts; hours: limit of all answers.

    gpus_named: whether the user asked for them; else a recipe that answers on the CPU is not refused for them.
    """
    known, points = known_models(study), study.recipe.points
    section, todo = study.recipe.eval, undrawn(study, known)
    misfit = _misfit(known, points[0])
    merge = None if misfit else _merge_plan(study, known, points, len(todo))
    sets, complaint = known_prompts(study)
    asked = None if sets is None else asked_of(section, sets, _tokenizer_folder(known), points)
    served = None if merge is None or asked is None else served_of(section, _config(known), merge.parameters, asked)
    plans: list[GpuPlan] = []
    if merge is not None and asked is not None and served is not None:
        blend_s = merge.each.seconds
        plans = [gpu_plan(section, served, asked, gpu, count, blend_s, hours) for gpu, count in gpus]
    room = None if merge is None else _room(study, known, todo, merge, _engine_memory(section, served, asked))
    problems: list[MergescopeError | None] = [*(model.problem for model in known), misfit, complaint]
    problems += [] if room is None else _room_refusals(study, room)
    if served is not None and (gpus_named or section.engine.device != "cpu"):
        problems += [refusal for plan in plans for refusal in gpu_refusals(plan, served, hours)]
    return Plan(
        study=study.recipe.study,
        models=tuple(_model_plan(model) for model in known),
        grid=_grid_plan(study, points, len(todo)),
        merge=merge,
        room=room,
        beside=beside(section),
        asked=asked,
        served=served,
        engine=f"{section.engine.kind}, {section.engine.dtype}",
        gpus=tuple(plans),
        hours_limit=hours,
        notes=tuple(notes_on(study, known, merge, room, sets, plans)),
        refusals=tuple(problem.line() for problem in problems if problem is not None),
    )


def _model_plan(model: KnownModel) -> ModelPlan:
    if model.headers is None:
        return ModelPlan(model.role, model.name, model.state, None, {}, 0)
    size = stored_bytes(model.headers)
    if model.folder is not None:
        size = sum(file.stat().st_size for file in weight_files(model.folder))
    by_dtype = parameters_by_dtype(model.headers)
    return ModelPlan(model.role, model.name, model.state, size, by_dtype, len(model.headers))


def _grid_plan(study: Study, points: Sequence[MergePoint], undrawn_seeds: int) -> GridPlan:
    seeds = len({point.mask_seed for point in points})
    drawn = seeds - undrawn_seeds if points[0].way == "blend" else 0
    section = study.recipe.merge
    ratios = len(section.ratio_list())
    further = len(points) - ratios * len(section.mask_seeds)
    return GridPlan(len(points), ratios, seeds, further, drawn, points[0].way)


def _misfit(known: Sequence[KnownModel], point: MergePoint) -> CheckpointError | None:
    """Why the three models cannot be merged with each other; None where they can, or are not all here."""
    models = folders_of(known)
    if models is None:
        return None
    try:
        check_models(models, (point.base_role, *point.term_roles))
    except CheckpointError as error:
        return error
    return None


def _merge_plan(
    study: Study, known: Sequence[KnownModel], points: Sequence[MergePoint], undrawn_seeds: int
) -> MergePlan | None:
    inputs = merge_inputs(known, points[0])
    if inputs is None:
        return None
    rates = measured_rates(_largest_file(known))
    blending = points[0].way == "blend"
    cache = memory().available - inputs.blend_memory
    if blending:
        each = blend_need(inputs, rates, len(points), cache)
        before = [draw_need(inputs, rates, undrawn_seeds)]
    else:
        each, before = stock_need(inputs, rates, len(points)), []
    if not _all_hashed(known, points[0]):
        before.insert(0, hash_need(inputs, rates))
    work = (*_adapting(study, known, rates), *before, each, export_need(inputs, rates, each))
    return MergePlan(
        architecture=str((_config(known).get("architectures") or ["unknown"])[0]),
        parameters=inputs.parameters,
        out_dtype=inputs.out_dtype,
        source_bytes=inputs.source_bytes,
        mask_bytes=inputs.mask_bytes if blending else 0,
        output_bytes=inputs.output_bytes,
        work=work,
        each=each,
        seconds=sum(need.times * need.seconds for need in work),
        rates=rates,
    )


def _adapting(study: Study, known: Sequence[KnownModel], rates: Rates) -> Iterator[Need]:
    """Merging the study's adapters; none of it where the recipe names no adapter."""
    of_pairs = [model for model in known if model.role in study.adapted_roles]
    waiting = sum(model.state == "to be adapted" for model in of_pairs)
    headers = next((model.headers for model in of_pairs if model.headers is not None), None)
    if headers is not None:
        yield adapt_need(headers, rates, waiting)


def _largest_file(known: Sequence[KnownModel]) -> Path | None:
    files = [file for model in known if model.folder is not None for file in weight_files(model.folder)]
    return max(files, key=lambda file: file.stat().st_size, default=None)


def _all_hashed(known: Sequence[KnownModel], point: MergePoint) -> bool:
    """Whether the weights' hashes are remembered, so that nothing is read for them."""
    folders = [model.folder for model in known if model.role in (point.base_role, *point.term_roles)]
    return all(folder is not None and known_weights_hash(folder) is not None for folder in folders)


def _config(known: Sequence[KnownModel]) -> dict[str, Any]:
    """config.json of the first model that is here; empty where none has one."""
    folders = [model.folder for model in known if model.folder is not None]
    found = next((folder / "config.json" for folder in folders if (folder / "config.json").is_file()), None)
    config: dict[str, Any] = {} if found is None else read_json(found)
    return config


def _tokenizer_folder(known: Sequence[KnownModel]) -> Path | None:
    """model-safe's folder, whose tokenizer the engine takes, or the base's before it is trained."""
    base, safe, _ = known
    return safe.folder or base.folder


def _engine_memory(section: EvalSection, served: Served | None, asked: Asked | None) -> int:
    """Bytes that a model takes which answers on the CPU; 0 where the recipe does not say that it does."""
    if section.engine.device != "cpu" or served is None or asked is None:
        return 0
    batch = min(section.engine.batch_size, asked.prompts * asked.samples)
    return served.weights + batch * served.cache * (round(asked.prompt_tokens) + asked.max_tokens)


def _room(
    study: Study, known: Sequence[KnownModel], todo: Sequence[MergePoint], merge: MergePlan, engine: int
) -> RoomPlan:
    steps = [(need.memory, need.name) for need in merge.work if need.times]
    steps.append((merge.each.memory + engine, "answer on the CPU" if engine else merge.each.name))
    needed, step = max(steps)
    return RoomPlan(
        disk_models=bytes_to_make(known),
        disk_masks=bytes_to_draw(known, todo),
        disk_free=free_bytes(study.folder),
        memory_needed=needed,
        memory_for=step,
        memory=memory(),
        mapped=merge.each.mapped,
    )


def _room_refusals(study: Study, room: RoomPlan) -> Iterator[MergescopeError]:
    if disk := disk_refusal(study, room.disk_models, room.disk_masks, room.disk_free):
        yield disk
    if memory_short := memory_refusal(room):
        yield memory_short


def memory_refusal(room: RoomPlan) -> MergescopeError | None:
    """What to tell where a step's own memory is more than what is available; None where it is not."""
    if room.memory_needed <= room.memory.available:
        return None
    return MergescopeError(
        f"to {room.memory_for} takes {size_text(room.memory_needed)} of memory, and "
        f"{size_text(room.memory.available)} of {size_text(room.memory.total)} are available",
        cure=f"end other programs, or take a machine with {room.memory_needed * 1.1 / 1e9:,.0f} GB or more",
    )
