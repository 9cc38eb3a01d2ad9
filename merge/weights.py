"""Weights of checkpoints as values: they can be sent to another process, and give their tensors when called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from merge.identity import weights_stamp
from merge.merger import Merger, open_merger
from merge.points import MergePoint, Role
from merge.sources import MappedCheckpoint, Models
from mergescope.ground.errors import CheckpointError
from mergescope.ground.progress import Reporter

if TYPE_CHECKING:
    import torch

Stamp = tuple[str, ...]
"""What `merge.identity.weights_stamp` tells of a folder."""


@dataclass(frozen=True, slots=True)
class StoredWeights:
    """The tensors of a checkpoint folder, mapped from its files.

    Make it before the folder is hashed: it gives nothing once a weight file was written since it was made.
    """

    folder: Path
    stamp: Stamp = field(init=False)
    """The weight files as they were when this was made."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stamp", weights_stamp(self.folder))

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ARG002
        """Every tensor by name; nothing is filled, for mapped tensors are there already.

        Raises CheckpointError where a weight file was written since.
        """
        _refuse_changed(self.folder, self.stamp)
        checkpoint = MappedCheckpoint(self.folder)
        for name in checkpoint.names:
            yield name, checkpoint.tensor(name)
        _refuse_changed(self.folder, self.stamp)


@dataclass(frozen=True, slots=True)
class MergeWeights:
    """The tensors of a merge point, blended when they are asked for by a merger that its process shares.

    Make it before its models are hashed: it gives nothing once a weight file was written since it was made.
    """

    study_folder: Path
    """Where the masks lie."""
    point: MergePoint
    models: Models
    threads: int
    """mergekit's --num-threads."""
    device: Literal["cpu", "cuda"]
    """Where to blend."""
    stamps: Mapping[Role, Stamp] = field(init=False)
    """The weight files as they were when this was made."""

    def __post_init__(self) -> None:
        roles = (self.point.base_role, *self.point.term_roles)
        object.__setattr__(self, "stamps", {role: weights_stamp(self.models.folder(role)) for role in roles})

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor by name. places: tensors that may be filled instead of new ones.

        Raises CheckpointError where a weight file was written since.
        """
        self._check()
        merger = _OPEN.get(self._key) or self.opened()
        yield from merger.blend(self.point, places)
        self._check()

    def opened(self, reporter: Reporter | None = None) -> Merger:
        """As `open_merger`; until a weight file changes, it serves all weights of this process that it can."""
        merger = open_merger(
            self.study_folder, self.point, self.models, threads=self.threads, device=self.device, reporter=reporter
        )
        _OPEN[self._key] = merger
        return merger

    @property
    def _key(self) -> object:
        """What all points have in common that one merger serves, and the state of the weight files."""
        setting = replace(self.point, ratio=Decimal(0), lambda_=Decimal(1))
        return self.study_folder, setting, self.models, self.threads, self.device, tuple(self.stamps.values())

    def _check(self) -> None:
        for role, stamp in self.stamps.items():
            _refuse_changed(self.models.folder(role), stamp)


def _refuse_changed(folder: Path, stamp: Stamp) -> None:
    if weights_stamp(folder) != stamp:
        cure = "wait until they are written, and run again: they are another checkpoint"
        raise CheckpointError("the weights changed since the sweep began", where=folder, cure=cure)


_OPEN: dict[object, Merger] = {}
"""Mergers of this process, by the key of the weights that they serve."""
