"""What makes the weights of merge points: the blend, or mergekit itself where no blend is exact."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from merge.masks import masks_for
from merge.points import MergePoint, Role, Way
from merge.sources import Models
from mergescope.ground.progress import Reporter

if TYPE_CHECKING:
    import torch

    from merge.kernel import Device


class Merger(Protocol):
    """Weights of the merge points of one mask seed. One serves a whole sweep."""

    @property
    def made(self) -> MadeWith:
        """What the last bits of its weights depend on."""

    @property
    def output_bytes(self) -> int:
        """Bytes of one merge's tensors."""

    def blend(
        self, point: MergePoint, into: Mapping[str, torch.Tensor] | None = None
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor of the merge by name, one at a time; each is the caller's own.

        into: tensors that may be filled instead of new ones, where one of that name has the shape and dtype.
        Raises MergescopeError for a point that needs another merger.
        """

    def draw(self) -> dict[str, Any] | None:
        """Plain JSON on what was drawn: the hash of all masks, and every scale k; None where nothing was kept."""


@dataclass(frozen=True, slots=True)
class MadeWith:
    """What the bits of a merge depend on besides its point and its inputs' weights."""

    way: Way
    """blend: our exact pass over masks drawn once; mergekit: a run of mergekit for every point."""
    inputs: Mapping[Role, str]
    """Weight hashes of the models that it reads, the merge's base first."""
    threads: int
    """mergekit's --num-threads."""
    kernel_level: str
    """ATEN_CPU_CAPABILITY, such as avx512."""
    out_dtype: str
    """torch's name of the output's dtype."""


def open_merger(
    study_folder: Path,
    point: MergePoint,
    models: Models,
    *,
    threads: int,
    device: Literal["cpu", "cuda"] = "cpu",
    reporter: Reporter | None = None,
) -> Merger:
    """What merges `point` and every point that differs from it in the ratio or in lambda alone.

    Draws the masks of a blend if they are not in `study_folder` yet. device: where to blend; mergekit itself stays on
    the CPU. Raises CheckpointError for models that cannot be merged, MergescopeError for a device that is not here.
    """
    if point.way == "mergekit":
        from merge.mergekit_merger import MergekitMerger

        return MergekitMerger(point, models, threads=threads)
    from merge.blend import Blender

    masks = masks_for(study_folder, point, models, threads=threads, reporter=reporter)
    return Blender(models.base, models.safe, models.useful, masks, device=_gpu() if device == "cuda" else None)


@functools.cache
def _gpu() -> Device:
    """One for all mask seeds, so that only the last one's inputs lie in pinned memory."""
    from merge.gpu import Gpu

    return Gpu()
