"""What a reader of a plan should know beside its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from eval.prompts import PromptSet
from merge.forecast import parameters_by_dtype
from merge.points import Role
from mergescope.ground.units import size_text
from mergescope.model_headers import KnownModel
from mergescope.plan_answers import GpuPlan
from mergescope.plan_records import MergePlan, RoomPlan
from mergescope.study import Study


def notes_on(
    study: Study,
    known: Sequence[KnownModel],
    merge: MergePlan | None,
    room: RoomPlan | None,
    sets: Sequence[PromptSet] | None,
    plans: Sequence[GpuPlan],
) -> Iterator[str]:
    """One line each, most important first."""
    yield from _notes_on_models(study, known)
    if sets is None and study.recipe.world is not None:
        yield "the prompts are not written yet: the world stage of `mergescope train` makes them"
    if merge is not None and room is not None:
        yield from _notes_on_merging(known, merge, room)
        if sets is not None and not plans:
            yield "config.json gives no layers and heads, so GPU memory and hours are not estimated"
    yield from _notes_on_gpus(study, plans)


def _notes_on_models(study: Study, known: Sequence[KnownModel]) -> Iterator[str]:
    if waiting := [model for model in known if model.state == "to be trained"]:
        names = ", ".join(title(model.role) for model in waiting)
        size = "counted as the base's tensors in float32, as training writes them"
        if waiting[0].headers is None:
            size = "sizes and times are not known before"
        yield f"not made yet: {names}. Train first: mergescope train {study.file.name}; {size}"
    for model in known:
        if model.state == "to be fetched":
            yield f"{title(model.role)} is not fetched from the Hub yet, so its size is not known: {model.name}"


def title(role: Role) -> str:
    """A model's name in words: base, model-safe, model-useful."""
    return role if role == "base" else f"model-{role}"


def _notes_on_merging(known: Sequence[KnownModel], merge: MergePlan, room: RoomPlan) -> Iterator[str]:
    stored = {model.role: list(parameters_by_dtype(model.headers)) for model in known if model.headers is not None}
    if len({dtype for dtypes in stored.values() for dtype in dtypes}) > 1:
        told = ", ".join(f"{title(role)} {' and '.join(dtypes)}" for role, dtypes in stored.items())
        yield f"tensors are stored in several dtypes ({told}): merged in float32, made in {merge.out_dtype}"
    cache = room.memory.available - merge.each.memory
    if room.mapped > cache:
        yield (
            f"a merge maps {size_text(room.mapped)} of files, and {size_text(max(0, cache))} of memory are left for "
            "them: every ratio reads from the disk again"
        )
    if merge.output_bytes > room.disk_free - room.disk_models - room.disk_masks:
        yield f"export --materialize wants {size_text(merge.output_bytes)} more than the study itself: not free here"


def _notes_on_gpus(study: Study, plans: Sequence[GpuPlan]) -> Iterator[str]:
    if not plans:
        return
    if study.recipe.eval.engine.device == "cpu":
        yield "the recipe answers on the CPU, for which no time is estimated; the GPUs' hours are for comparison"
    elif any(plan.count > plan.split for plan in plans):
        split = plans[0].split
        yield (
            f"a run starts one engine on {'one GPU' if split == 1 else f'{split} GPUs'}: for more of them, share the "
            "ratios out over several recipes, each with its own CUDA_VISIBLE_DEVICES"
        )
