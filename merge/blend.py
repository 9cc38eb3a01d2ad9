"""The weights of any merge point, blended in memory from mapped files and masks: equal to mergekit's in every bit."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from merge.converted import converted
from merge.identity import weights_hash
from merge.kernel import CompiledBlend, TermTensors, blend_eager, compiled_blend, factors_of
from merge.masks import PLANES, Masks, Source, TensorRecord, Term, mask_setting, open_masks
from merge.merger import MadeWith
from merge.planes import mapped, plane_bytes
from merge.points import MergePoint, Role
from merge.sources import MappedCheckpoint, Models
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.ids import canonical_json

KernelKind = Literal["auto", "eager", "compiled"]
COMPILE_PARAMETERS = 60_000_000
"""Fewest parameters of a model for which `auto` compiles: below, the compiler's start costs more than a sweep of
eager blends at 22 ns a parameter."""


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
    ) -> None:
        """Map the files; nothing is read yet.

        masks: a folder from `merge.masks.masks_for`. out_dtype: torch's name of the output's dtype, None for the
        one that the merge's base is stored in. Raises CheckpointError where the models are not those that the
        masks were made from.
        """
        self.masks: Masks = open_masks(masks)
        """The masks and what they were made with."""
        models = Models(base, safe, useful)
        _check_unchanged(models, self.masks.inputs)
        self._sources = {role: MappedCheckpoint(models.folder(role)) for role in self.masks.inputs}
        self._planes = mapped(masks / PLANES)
        self.out_dtype = out_dtype or self._sources[self.masks.base_role].dtype
        """torch's name of the output's dtype."""
        compiled = self._compiled(kernel)
        self.kernel: KernelKind = "eager" if compiled is None else "compiled"
        """Which form of the kernel runs; the bits are the same."""
        self._blend_into = compiled or blend_eager

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
        sizes = ((record, getattr(torch, record.dtype or self.out_dtype)) for record in self.masks.tensors)
        return sum(_numel(record) * dtype.itemsize for record, dtype in sizes)

    def blend(self, point: MergePoint) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor of the merge by name, one at a time; each is the caller's own.

        Raises MergescopeError for a point of another mode, density or seed than the masks'.
        """
        self._check_point(point)
        for record in self.masks.tensors:
            yield record.name, self._tensor(record, point)

    def blend_many(self, points: list[MergePoint]) -> Iterator[tuple[str, list[torch.Tensor]]]:
        """As `blend` for several points at once: sources and masks of a tensor are read from disk once.

        Memory: one output tensor per point.
        """
        for point in points:
            self._check_point(point)
        for record in self.masks.tensors:
            yield record.name, [self._tensor(record, point) for point in points]

    def _tensor(self, record: TensorRecord, point: MergePoint) -> torch.Tensor:
        base = self._source(self.masks.base_role, record.base_source)
        out = torch.empty(record.shape, dtype=getattr(torch, record.dtype or self.out_dtype))
        if not record.terms:
            return out.copy_(base.to(torch.float32).view(record.shape))
        terms = [self._term(term, _numel(record), point) for term in record.terms]
        self._blend_into(base, terms, factors_of(terms, float(point.lambda_)), out.view(-1))
        return out

    def _term(self, term: Term, count: int, point: MergePoint) -> TermTensors:
        plane = None if term.plane is None else self._planes[term.plane : term.plane + plane_bytes(count)]
        return TermTensors(self._source(term.role, term.source), plane, term.scale, float(point.weight(term.role)))

    def _source(self, role: Role, source: Source) -> torch.Tensor:
        checkpoint = self._sources[role]
        tensor = converted(checkpoint, source.name) if source.converted else checkpoint.tensor(source.name)
        return tensor.reshape(-1)

    def _compiled(self, wanted: KernelKind) -> CompiledBlend | None:
        parameters = sum(_numel(record) for record in self.masks.tensors)
        if wanted == "eager" or (wanted == "auto" and parameters < COMPILE_PARAMETERS):
            return None
        dtypes = {role: getattr(torch, source.dtype) for role, source in self._sources.items()}
        base, *tuned = [dtypes[role] for role in self.masks.inputs]
        kernel = compiled_blend(base, tuned, getattr(torch, self.out_dtype))
        if kernel is None and wanted == "compiled":
            raise MergescopeError("torch.compile finds no C++ compiler", cure="install g++, or take kernel auto")
        if kernel is None:
            print("merge: no C++ compiler found, so blending takes the slow form (same bits)", file=sys.stderr)
        return kernel

    def _check_point(self, point: MergePoint) -> None:
        if point.way != "blend" or canonical_json(mask_setting(point)) != canonical_json(self.masks.setting):
            raise MergescopeError(
                "this merge point needs other masks than those opened",
                where=self.masks.folder,
                value=point.label,
                cure="make masks for its mode, densities and seed",
            )


def masks_digest(masks: Masks) -> dict[str, Any]:
    """Of drawn masks: the hash of all masks, and the scale k of every tensor and model."""
    scales = {record.name: {term.role: term.scale for term in record.terms} for record in masks.tensors}
    return {"planes_sha256": masks.planes_sha256, "scales": scales}


def _numel(record: TensorRecord) -> int:
    return functools.reduce(lambda a, b: a * b, record.shape, 1)


def _check_unchanged(models: Models, made_from: dict[Role, str]) -> None:
    for role, digest in made_from.items():
        if weights_hash(models.folder(role)) != digest:
            raise CheckpointError(
                "the weights changed since the masks were made",
                where=models.folder(role),
                cure="run the merge stage again",
            )
