"""A study's merges: its three models as folders, its masks, and the points of its grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Literal

from merge.adapters import AdapterInput, Pair, adapted
from merge.identity import weights_hash
from merge.merger import Merger
from merge.points import MergePoint, Role, one_of_each_seed
from merge.sources import Models, local_folder
from merge.weights import MergeWeights
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.files import read_manifest
from mergescope.ground.ids import decimal6
from mergescope.ground.progress import Reporter
from mergescope.study import Recipe, Study

ROLES: tuple[Role, ...] = ("base", "safe", "useful")
TUNED: tuple[Literal["safe", "useful"], ...] = ("safe", "useful")
INPUTS = "inputs"
"""Folder in the study's of the models that were merged from base and adapter."""


def models_of(study: Study, reporter: Reporter) -> Models:
    """The three models as folders: Hub ids are fetched once, and pairs of base and adapter merged once.

    Raises CheckpointError where one is missing, or where a pair cannot be merged.
    """
    trusted = study.recipe.merge.trust_remote_code
    base = local_folder(study.model("base"), may_run_code=trusted)
    tuned = {role: _tuned_folder(study, role, base, reporter) for role in TUNED}
    return Models(base, tuned["safe"], tuned["useful"], trust_remote_code=trusted)


def _tuned_folder(study: Study, role: Literal["safe", "useful"], base: Path, reporter: Reporter) -> Path:
    named = study.model(role)
    if not isinstance(named, Pair):
        return local_folder(named, may_run_code=study.recipe.merge.trust_remote_code)
    own = local_folder(named.base)
    if weights_hash(own) != weights_hash(base):
        raise CheckpointError(
            f"its base {own} holds other weights than models.base, {base}",
            where=f"{study.file}: models.{role}",
            cure="name the same base in both places",
        )
    return adapted(study.folder / INPUTS, own, local_folder(named.adapter), reporter)


def make_inputs(study: Study, reporter: Reporter) -> None:
    """Merge the study's adapters into their base, where that is not done yet."""
    models_of(study, reporter)


def hub_names(study: Study, models: Models) -> dict[Role, str]:
    """`owner/name@commit` of the models that come from the Hub; pairs of base and adapter have no such name."""
    named = {role: study.model(role) for role in ROLES}
    return {role: _with_commit(name, models.folder(role)) for role, name in named.items() if isinstance(name, str)}


def adapters_of(study: Study, models: Models) -> dict[Role, AdapterInput]:
    """How each model that was made of base + adapter is made again, from its folder's manifest."""
    return {role: _adapter_input(study, role, models.folder(role)) for role in study.adapted_roles}


def _adapter_input(study: Study, role: Literal["safe", "useful"], folder: Path) -> AdapterInput:
    pair, manifest = study.model(role), read_manifest(folder)
    if not isinstance(pair, Pair) or manifest is None:
        raise ValueError(f"{role} was not made of base and adapter")
    return AdapterInput(
        base=_portable(pair.base, "base"),
        adapter=_portable(pair.adapter, f"{role}-adapter"),
        base_weights_sha256=manifest["base_weights_sha256"],
        files=manifest["adapter"],
        dtype=manifest["dtype"],
        versions=manifest["versions"],
        weights_sha256=manifest["weights_sha256"],
    )


def _portable(named: Path | str, name: str) -> str:
    """What a bundle calls a model: no path of this machine."""
    return _with_commit(named, local_folder(named)) if isinstance(named, str) else f"./inputs/{name}"


def _with_commit(name: str, folder: Path) -> str:
    return f"{name.partition('@')[0]}@{folder.name}" if folder.parent.name == "snapshots" else name


def mergers_of(study: Study, models: Models, reporter: Reporter) -> Iterator[tuple[int, Merger]]:
    """Each mask seed and what merges its points; masks are drawn now where they are missing."""
    for point in one_of_each_seed(study.recipe.points):
        yield point.mask_seed, merger_of(study, models, point, reporter)


def merger_of(study: Study, models: Models, point: MergePoint, reporter: Reporter) -> Merger:
    """What merges one point as the recipe asks; masks are drawn now where they are missing."""
    return merge_weights(study, point, models).opened(reporter)


def merge_weights(study: Study, point: MergePoint, models: Models) -> MergeWeights:
    """The weights of one point as the recipe asks; in this process they come from `merger_of`."""
    section = study.recipe.merge
    return MergeWeights(study.folder, point, models, section.threads, section.device)


def draw_masks(study: Study, reporter: Reporter) -> None:
    """The masks of every mask seed of the recipe."""
    for _ in mergers_of(study, models_of(study, reporter), reporter):
        pass


def check_models_fit(study: Study, reporter: Reporter) -> None:
    """Check the models of merges that are not blended; raises CheckpointError for models that do not fit."""
    for _ in mergers_of(study, models_of(study, reporter), reporter):
        pass
    reporter.say("the models fit; mergekit itself makes each merge when it is asked for, so nothing is drawn")


def point_at(recipe: Recipe, ratio: str, mask_seed: int | None) -> MergePoint:
    """The merge point at any ratio, on the recipe's grid or between; raises MergescopeError for a ratio outside."""
    try:
        wanted = decimal6(ratio)
    except ValueError as error:
        raise MergescopeError("not allowed", where="--ratio", value=ratio, cure=f"it {error}") from None
    if not 0 <= wanted <= 1:
        raise MergescopeError("not allowed", where="--ratio", value=ratio, cure="it must be between 0 and 1")
    seeds = (*recipe.merge.mask_seeds, *recipe.further_seeds)
    seed = seeds[0] if mask_seed is None else mask_seed
    if seed not in seeds:
        raise MergescopeError(
            "not in the recipe", where="--mask-seed", value=seed, cure=f"use one of {', '.join(map(str, seeds))}"
        )
    return replace(recipe.points[0], ratio=Decimal(wanted), mask_seed=seed)
