"""What is known of a study's models before any work: their headers, as far as these are on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from merge.adapters import Pair, adapted_already
from merge.forecast import (
    Headers,
    MergeInputs,
    as_trained,
    fits_disk,
    main_dtype,
    mergeable,
    stored_bytes,
)
from merge.masks import drawn_masks
from merge.points import MergePoint, Role, one_of_each_seed
from merge.sources import Models, fetched_folder, stored_tensors
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.units import size_text
from mergescope.machine import free_bytes
from mergescope.merges import INPUTS, ROLES
from mergescope.study import Study
from trainer.config import TuningSection

State = Literal["here", "to be trained", "to be adapted", "to be fetched", "broken"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One of the three models."""

    role: Role
    name: str
    """As the recipe names it, or its folder beside the recipe."""
    state: State
    folder: Path | None = None
    """Where it lies; None where it is not here."""
    headers: Headers | None = None
    """Its tensors; of a model to be made, what it will hold; None where that is not known."""
    problem: CheckpointError | None = None
    """Why it is broken; None where it is not."""


def known_models(study: Study) -> list[KnownModel]:
    """The models in the order base, safe, useful. Nothing is fetched and no weights are read."""
    known = [_known(study, role) for role in ROLES]
    base = known[0].headers
    if base is None:
        return known
    return [replace(m, headers=_trained(study, m.role, base)) if m.state == "to be trained" else m for m in known]


def _trained(study: Study, role: Role, base: Headers) -> Headers:
    """What training will write: float32, but for an adapter, which ends in the base's own dtypes."""
    section = getattr(study.recipe.train, role, None)
    return base if isinstance(section, TuningSection) and section.lora is not None else as_trained(base)


def _known(study: Study, role: Role) -> KnownModel:
    named, model = getattr(study.recipe.models, role), study.model(role)
    if isinstance(model, Pair):
        return _adapted(study, role, named or "", model)
    if isinstance(model, str):
        folder = fetched_folder(model)
        return KnownModel(role, model, "to be fetched") if folder is None else _here(role, model, folder)
    name = named or f"{model.parent.name}/{model.name}"
    return KnownModel(role, name, "to be trained") if named is None and not model.exists() else _here(role, name, model)


def _adapted(study: Study, role: Role, name: str, pair: Pair) -> KnownModel:
    """A model given as base + adapter: merged already, or about to be, and then its tensors are the base's."""
    base, adapter = (fetched_folder(part) if isinstance(part, str) else part for part in (pair.base, pair.adapter))
    if base is None:
        return KnownModel(role, name, "to be fetched")
    try:
        made = None if adapter is None else adapted_already(study.folder / INPUTS, base, adapter)
    except CheckpointError as problem:
        return KnownModel(role, name, "broken", problem=problem)
    known = _here(role, name, made or base)
    return known if made or known.state == "broken" else replace(known, state="to be adapted", folder=None)


def _here(role: Role, name: str, folder: Path) -> KnownModel:
    try:
        headers = stored_tensors(folder)
        if not mergeable(headers):
            raise CheckpointError("holds no floating-point tensors", where=folder)
    except CheckpointError as problem:
        return KnownModel(role, name, "broken", problem=problem)
    return KnownModel(role, name, "here", folder, headers)


def merge_inputs(known: Sequence[KnownModel], point: MergePoint) -> MergeInputs | None:
    """What the merges that share `point`'s masks read; None where the headers of a model are not known."""
    headers = {model.role: model.headers for model in known}
    base, *tuned = (headers[role] for role in (point.base_role, *point.term_roles))
    there = tuple(model for model in tuned if model is not None)
    if base is None or len(there) < len(tuned):
        return None
    return MergeInputs(base, there, tuple(point.density(role) for role in point.term_roles), main_dtype(base))


def folders_of(known: Sequence[KnownModel]) -> Models | None:
    """The three folders; None where one is not here."""
    base, safe, useful = (model.folder for model in known)
    return Models(base, safe, useful) if base and safe and useful else None


def undrawn(study: Study, known: Sequence[KnownModel]) -> list[MergePoint]:
    """One merge point of each mask seed whose masks are not drawn yet; none where mergekit makes every merge."""
    points = [point for point in one_of_each_seed(study.recipe.points) if point.way == "blend"]
    models, threads = folders_of(known), study.recipe.merge.threads
    if models is None:
        return points
    return [p for p in points if drawn_masks(study.folder, p, models, threads=threads) is None]


def bytes_to_make(known: Sequence[KnownModel]) -> int:
    """Bytes of the models that the study itself writes before it can merge, as far as their size is known."""
    to_make = [model for model in known if model.state in ("to be trained", "to be adapted")]
    return sum(stored_bytes(model.headers) for model in to_make if model.headers is not None)


def bytes_to_draw(known: Sequence[KnownModel], points: Sequence[MergePoint]) -> int:
    """Bytes of the masks of `points`, one a mask seed; 0 where a model's headers are not known."""
    inputs = [merge_inputs(known, point) for point in points]
    return sum(one.mask_bytes for one in inputs if one is not None)


def require_room(study: Study) -> None:
    """Refuse, before any work, what will not fit on the study's disk: models to be made, masks to be drawn.

    Passes where nothing is known of a model yet. Raises MergescopeError with the sizes.
    """
    known = known_models(study)
    models, masks = bytes_to_make(known), bytes_to_draw(known, undrawn(study, known))
    if refusal := disk_refusal(study, models, masks, free_bytes(study.folder)):
        raise refusal


def disk_refusal(study: Study, models: int, masks: int, free: int) -> MergescopeError | None:
    """What to tell where models and masks of so many bytes do not fit into `free` ones; None where they do."""
    if not models + masks or fits_disk(models + masks, free):
        return None
    parts = [f"{size_text(size)} of {what}" for size, what in ((models, "models"), (masks, "masks")) if size]
    return MergescopeError(
        f"the study will write {' and '.join(parts)}, and {size_text(free)} are free on its disk",
        where=study.folder,
        cure="free some room, put the recipe on another disk, or name fewer mask seeds",
    )
