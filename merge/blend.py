"""The weights of any merge point, blended in memory from mapped files and masks: equal to mergekit's in every bit."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from merge.converted import converted
from merge.identity import weights_hash
from merge.kernel import Cpu, Device, Inputs, Kernel, TermTensors, blend_eager, compiled_blend, factors_of
from merge.masks import PLANES, Masks, Source, TensorRecord, Term, mask_setting, open_masks
from merge.merger import MadeWith
from merge.native import native
from merge.planes import mapped, plane_bytes
from merge.points import MergePoint, Role
from merge.sources import MappedCheckpoint, Models
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.ids import canonical_json

KernelKind = Literal["auto", "eager", "compiled"]


class Blender:
    """Three checkpoint folders and their masks, opened for blending. One serves a whole sweep."""

    def __init__(
        self,
        base: Path,
        safe: Path,
        useful: Path,
        masks: Path,
        *,
        out_dtype: str | None = None,
        kernel: KernelKind = "auto",
        device: Device | None = None,
    ) -> None:
        """Map the files; nothing is read yet.

        masks: a folder from `merge.masks.masks_for`. out_dtype: torch's name of the output's dtype, None for the
        one that the merge's base is stored in. kernel: which form runs on the CPU. device: where to blend, None for
        the CPU. Raises CheckpointError where the models are not those that the masks were made from.
        """
        self.masks: Masks = open_masks(masks)
        """The masks and what they were made with."""
        models = Models(base, safe, useful)
        _check_unchanged(models, self.masks.inputs)
        self._sources = {role: MappedCheckpoint(models.folder(role)) for role in self.masks.inputs}
        self._planes = mapped(masks / PLANES)
        self.out_dtype = out_dtype or self._sources[self.masks.base_role].dtype
        """torch's name of the output's dtype."""
        self.device: Device = device or Cpu(_cpu_kernel(kernel))
        """Where it blends."""
        self._empty = self.device.memory(held=2)  # one is filled while the caller looks at the one before

    @property
    def made(self) -> MadeWith:
        """What the last bits of its weights depend on."""
        masks = self.masks
        return MadeWith("blend", masks.inputs, masks.threads, masks.kernel_level, self.out_dtype)

    def draw(self) -> dict[str, Any]:
        """The hash of all masks, and the scale k of every tensor and model."""
        return masks_digest(self.masks)

    @property
    def names(self) -> list[str]:
        """Names of the merged checkpoint's tensors, in the order in which they come; tied heads as mergekit writes."""
        return [record.name for record in self.masks.tensors]

    @property
    def output_bytes(self) -> int:
        """Bytes of the merged tensors."""
        return sum(record.numel * self._dtype(record).itemsize for record in self.masks.tensors)

    def blend(
        self, point: MergePoint, into: Mapping[str, torch.Tensor] | None = None
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor of the merge by name, one at a time; each is the caller's own.

        into: tensors that are filled instead of new ones, where one of that name has the shape, dtype and device.
        Raises MergescopeError for a point of another mode, density or seed than the masks'.
        """
        self._check_point(point)
        for record, inputs in self.device.staged(self.masks.tensors, self._inputs):
            place = self._place(record, into or {})
            out = self._empty(record.shape, self._dtype(record)) if place is None else place
            self._fill(record, inputs, [point], [out])
            yield record.name, out

    def blend_many(self, points: list[MergePoint]) -> Iterator[tuple[str, list[torch.Tensor]]]:
        """As `blend` for several points at once: sources and masks of a tensor are read once.

        Memory: one output tensor per point.
        """
        for point in points:
            self._check_point(point)
        empty = self.device.memory(held=len(points) + 1)
        for record, inputs in self.device.staged(self.masks.tensors, self._inputs):
            outs = [empty(record.shape, self._dtype(record)) for _ in points]
            self._fill(record, inputs, points, outs)
            yield record.name, outs

    def _dtype(self, record: TensorRecord) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, record.dtype or self.out_dtype)
        return dtype

    def _place(self, record: TensorRecord, into: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
        """The caller's own tensor for a merged one; None where it has none that fits."""
        place = into.get(record.name)
        fits = place is not None and place.dtype == self._dtype(record) and place.shape == record.shape
        return place if fits and place is not None and place.is_contiguous() else None

    def _fill(
        self, record: TensorRecord, inputs: Inputs, points: Sequence[MergePoint], outs: Sequence[torch.Tensor]
    ) -> None:
        if not record.terms:
            for out in outs:
                out.copy_(inputs.base.to(torch.float32).view(record.shape))
            return
        weights = [[float(point.weight(term.role)) for term in record.terms] for point in points]
        rows = [factors_of(inputs.terms, row, float(point.lambda_)) for row, point in zip(weights, points, strict=True)]
        flat = [out.view(-1) for out in outs]
        self.device.kernel(inputs.base, inputs.terms, torch.tensor(rows, dtype=torch.float32), flat)

    def _inputs(self, record: TensorRecord) -> Inputs:
        base = self._source(self.masks.base_role, record.base_source)
        return Inputs(base, tuple(self._term(term, record.numel) for term in record.terms))

    def _term(self, term: Term, count: int) -> TermTensors:
        plane = None if term.plane is None else self._planes[term.plane : term.plane + plane_bytes(count)]
        return TermTensors(self._source(term.role, term.source), plane, term.scale)

    def _source(self, role: Role, source: Source) -> torch.Tensor:
        checkpoint = self._sources[role]
        tensor = converted(checkpoint, source.name) if source.converted else checkpoint.tensor(source.name)
        return tensor.reshape(-1)

    def _check_point(self, point: MergePoint) -> None:
        if point.way != "blend" or canonical_json(mask_setting(point)) != canonical_json(self.masks.setting):
            raise MergescopeError(
                "this merge point needs other masks than those opened",
                where=self.masks.folder,
                value=point.label,
                cure="make masks for its mode, densities and seed",
            )


def _cpu_kernel(wanted: KernelKind) -> Kernel:
    loops = None if wanted == "eager" else native()
    if loops is not None:
        return compiled_blend(loops)
    if wanted == "compiled":
        raise MergescopeError(
            "no C compiler builds the merge's loops", cure="install gcc or clang, or take kernel auto"
        )
    if wanted == "auto":
        print("merge: no C compiler builds the loops, so blending takes the slow form (same bits)", file=sys.stderr)
    return blend_eager


def masks_digest(masks: Masks) -> dict[str, Any]:
    """Of drawn masks: the hash of all masks, and the scale k of every tensor and model."""
    scales = {record.name: {term.role: term.scale for term in record.terms} for record in masks.tensors}
    return {"planes_sha256": masks.planes_sha256, "scales": scales}


def _check_unchanged(models: Models, made_from: dict[Role, str]) -> None:
    for role, digest in made_from.items():
        if weights_hash(models.folder(role)) != digest:
            raise CheckpointError(
                "the weights changed since the masks were made",
                where=models.folder(role),
                cure="run the merge stage again",
            )
