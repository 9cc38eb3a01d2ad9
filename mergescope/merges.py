"""A study's merges: its three models as folders, its masks, and the points of its grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from merge.config import MergeSection
from merge.merger import Merger, open_merger
from merge.points import MergePoint, Role, grid
from merge.sources import Models, local_folder
from mergescope.ground.errors import MergescopeError
from mergescope.ground.ids import decimal6
from mergescope.ground.progress import Reporter
from mergescope.study import Study

ROLES: tuple[Role, ...] = ("base", "safe", "useful")


def models_of(study: Study) -> Models:
    """The three models as folders; Hub ids are fetched once. Raises CheckpointError where one is missing."""
    return Models(*(local_folder(study.model(role)) for role in ROLES))


def hub_names(study: Study, models: Models) -> dict[Role, str]:
    """`owner/name@commit` of the models that come from the Hub."""
    names: dict[Role, str] = {}
    for role in ROLES:
        named, folder = study.model(role), models.folder(role)
        if isinstance(named, str):
            commit = folder.name if folder.parent.name == "snapshots" else None
            names[role] = f"{named.partition('@')[0]}@{commit}" if commit else named
    return names


def mergers_of(study: Study, models: Models, reporter: Reporter) -> Iterator[tuple[int, Merger]]:
    """Each mask seed and what merges its points; masks are drawn now where they are missing."""
    section = study.recipe.merge
    for point in grid(section):
        if point.ratio == section.ratio_list()[0]:
            yield (
                point.mask_seed,
                open_merger(study.folder, point, models, threads=section.threads, reporter=reporter),
            )


def draw_masks(study: Study, reporter: Reporter) -> None:
    """The masks of every mask seed of the recipe."""
    for _ in mergers_of(study, models_of(study), reporter):
        pass


def check_models_fit(study: Study, reporter: Reporter) -> None:
    """Check the models of merges that are not blended; raises CheckpointError for models that do not fit."""
    for _ in mergers_of(study, models_of(study), reporter):
        pass
    reporter.say("the models fit; mergekit itself makes each merge when it is asked for, so nothing is drawn")


def point_at(section: MergeSection, ratio: str, mask_seed: int | None) -> MergePoint:
    """The merge point at any ratio, on the recipe's grid or between; raises MergescopeError for a ratio outside."""
    try:
        wanted = decimal6(ratio)
    except ValueError as error:
        raise MergescopeError("not allowed", where="--ratio", value=ratio, cure=f"it {error}") from None
    if not 0 <= wanted <= 1:
        raise MergescopeError("not allowed", where="--ratio", value=ratio, cure="it must be between 0 and 1")
    seed = section.mask_seeds[0] if mask_seed is None else mask_seed
    if seed not in section.mask_seeds:
        seeds = ", ".join(map(str, section.mask_seeds))
        raise MergescopeError("not in the recipe", where="--mask-seed", value=seed, cure=f"use one of {seeds}")
    return replace(grid(section)[0], ratio=Decimal(wanted), mask_seed=seed)
