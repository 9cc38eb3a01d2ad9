"""Weights of checkpoints as values: they can be sent to another process, and give their tensors when called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from merge.identity import weights_stamp
from merge.merger import Merger, open_merger
from merge.points import MergePoint
from merge.sources import MappedCheckpoint, Models
from mergescope.ground.progress import Reporter

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """The tensors of a checkpoint folder, mapped from its files."""

    folder: Path

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ARG002
        """Every tensor by name; nothing is filled, for mapped tensors are there already."""
        checkpoint = MappedCheckpoint(self.folder)
        for name in checkpoint.names:
            yield name, checkpoint.tensor(name)


@dataclass(frozen=True, slots=True)
class MergeWeights:
    """The tensors of a merge point, blended when they are asked for by a merger that its process shares."""

    study_folder: Path
    """Where the masks lie."""
    point: MergePoint
    models: Models
    threads: int
    """mergekit's --num-threads."""
    device: Literal["cpu", "cuda"]
    """Where to blend."""

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor by name. places: tensors that may be filled instead of new ones."""
        merger = shared_merger(self.study_folder, self.point, self.models, threads=self.threads, device=self.device)
        return merger.blend(self.point, places)


_OPEN: dict[object, Merger] = {}


def shared_merger(
    study_folder: Path,
    point: MergePoint,
    models: Models,
    *,
    threads: int,
    device: Literal["cpu", "cuda"] = "cpu",
    reporter: Reporter | None = None,
) -> Merger:
    """As `open_merger`, once in a process for all points that one merger serves, until a weight file changes."""
    setting = replace(point, ratio=Decimal(0), lambda_=Decimal(1))
    files = tuple(weights_stamp(models.folder(role)) for role in (point.base_role, *point.term_roles))
    key = (study_folder, setting, models, threads, device, files)
    if key not in _OPEN:
        _OPEN[key] = open_merger(study_folder, point, models, threads=threads, device=device, reporter=reporter)
    return _OPEN[key]
