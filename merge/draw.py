"""Draws the masks and scales of a merge: `python -m merge.draw JOB.json OUT`, in a process of its own.

The process starts as the stock `mergekit-yaml` does: same options, seed, threads, planner, loader, executor. Only
the merge method differs: it sees every group of tensors in the order and generator state in which `dare_ties`
would, and keeps what is random or depends on the order of a sum, instead of a merged tensor.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from mergekit import merge_methods
from mergekit.graph import Executor
from mergekit.io.tasks import SaveTensor
from mergekit.merge_methods.base import GroupMergeMethod, MergeMethodSpec, TensorGroup
from mergekit.merge_methods.registry import register

from merge.bernoulli import drawn
from merge.masks import INDEX, PLANES
from merge.planned import (
    REFUSED,
    Pipe,
    RefusedError,
    configured,
    leave,
    planned,
    refuse_unless_finite,
    sources_of,
    started,
)

METHOD = "mergescope_dare_masks"
ALIGNMENT = 64
"""Planes start at multiples of this many bytes."""


@dataclass(frozen=True)
class MaskMethod(GroupMergeMethod):  # type: ignore[misc]  # mergekit is untyped
    """Stands in for dare_ties: draws the same masks, computes the same scales, merges nothing."""

    planes: BinaryIO
    """Where the planes go, one after another."""
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By output tensor: shape, and the mask and scale of each term's model."""

    @property
    def spec(self) -> MergeMethodSpec:
        """dare_ties' parameters and contract, under our own name."""
        stock = merge_methods.get("dare_ties").spec
        return MergeMethodSpec(name=METHOD, parameters=stock.parameters, contract=stock.contract)

    def merge_group(self, group: TensorGroup, /, **parameters: Any) -> torch.Tensor:
        """Record the group's masks and scales; the base is returned for its shape alone."""
        base = group.base.tensor
        if not group.non_base:
            refuse_unless_finite(base, group.metadata.name, str(group.base.id))
        terms = {}
        densities = [parameters["density"][entry.id] for entry in group.non_base]
        draws = drawn(base, [entry.tensor for entry in group.non_base], densities, rescale=parameters["rescale"])
        for entry, (plane, scale) in zip(group.non_base, draws, strict=True):
            if scale is None:
                refuse_unless_finite(base, group.metadata.name, str(group.base.id))
                refuse_unless_finite(entry.tensor, group.metadata.name, str(entry.id))
                raise RefusedError(f"tensor {group.metadata.name} overflows float32 when summed", str(entry.id))
            terms[str(entry.id)] = {"scale": scale, "plane": None if plane is None else self._append(plane)}
        self.records[group.metadata.name] = {"shape": list(base.shape), "terms": terms}
        return base

    def _append(self, plane: torch.Tensor) -> int:
        place = -(-self.planes.tell() // ALIGNMENT) * ALIGNMENT
        self.planes.seek(place)
        self.planes.write(memoryview(plane.numpy()))
        return place


class DiscardingWriter:
    """Takes what mergekit would write to disk, and drops it."""

    def save_tensor(self, name: str, tensor: torch.Tensor, clone: bool = False) -> None:
        """Nothing is kept: our method has taken what it wants."""

    def finalize(self) -> None:
        """Nothing was written, nothing is left to finish."""


def draw(job: dict[str, Any], out: Path, pipe: Pipe) -> dict[str, Any]:
    """Run mergekit's own plan with `MaskMethod` in the method's place; returns the index of what was drawn.

    The pipe hears how far it is.
    """
    options = started(job)
    config = configured(job["config"])
    config.merge_method = METHOD
    with (out / PLANES).open("wb") as planes:
        method = MaskMethod(planes=planes)
        register(method)
        targets = planned(config, options, DiscardingWriter())
        saves = [task for task in targets if isinstance(task, SaveTensor)]
        sources = {task.tensor_name: sources_of(task.tensor_task) for task in saves}
        pipe.say({"total": len(saves)})
        ran = (task for task, _ in Executor(targets, math_device="cpu", storage_device="cpu").run(quiet=True))
        order = [_told(task, pipe) for task in ran if isinstance(task, SaveTensor)]
    return {"tensors": list(_index(method.records, order, sources))}


def _told(task: SaveTensor, pipe: Pipe) -> SaveTensor:
    pipe.say({"done": task.tensor_name})
    return task


def _index(
    records: dict[str, dict[str, Any]], tasks: list[SaveTensor], sources: dict[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for task in tasks:
        if task.tensor_name not in records:
            raise RefusedError(
                f"tensor {task.tensor_name} is no floating-point weight: only mergekit itself merges it", ""
            )
        yield {
            "name": task.tensor_name,
            "dtype": task.tensor_task.output_weight.force_dtype,
            "sources": sources[task.tensor_name],
            **records[task.tensor_name],
        }


def main(job_file: str, out: str) -> int:
    """Exit code 0, or REFUSED and a JSON line: the refusal, or the disk's."""
    job, pipe = json.loads(Path(job_file).read_text(encoding="utf-8")), Pipe()
    try:
        index = draw(job, Path(out), pipe)
        (Path(out) / INDEX).write_text(json.dumps(index, allow_nan=False), encoding="utf-8")
    except RefusedError as refusal:
        pipe.say(refusal.message)
        return REFUSED
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        pipe.say({"errno": error.errno})
        return REFUSED
    return 0


if __name__ == "__main__":
    leave(main(*sys.argv[1:]))
