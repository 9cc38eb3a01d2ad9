"""Draws the masks and scales of a merge: `python -m merge.draw JOB.json OUT`, in a process of its own.

The process starts as the stock `mergekit-yaml` does: same options, seed, threads, planner, loader, executor. Only
the merge method differs: it sees every group of tensors in the order and generator state in which `dare_ties`
would, and keeps what is random or depends on the order of a sum, instead of a merged tensor.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
import transformers
import yaml
from mergekit import merge_methods
from mergekit.architecture import get_architecture_info
from mergekit.config import MergeConfiguration
from mergekit.graph import Executor, Task
from mergekit.io.tasks import LoaderCache, LoadTensor, SaveTensor, TensorWriterTask
from mergekit.merge_methods.base import GroupMergeMethod, MergeMethodSpec, TensorGroup
from mergekit.merge_methods.registry import register
from mergekit.merge_methods.task_adapter import ExecuteMergeMethodTask
from mergekit.options import MergeOptions
from mergekit.plan import MergePlanner

from merge.bernoulli import drawn
from merge.masks import INDEX, PLANES, REFUSED

METHOD = "mergescope_dare_masks"
ALIGNMENT = 64
"""Planes start at multiples of this many bytes."""


class RefusedError(Exception):
    """An input that no merge can use; the parent process shows it to the user."""

    def __init__(self, what: str, model: str) -> None:
        super().__init__(what)
        self.what = what
        self.model = model
        """The model's name in the config; empty where no single model is at fault."""


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
            _refuse_unless_finite(base, group.metadata.name, str(group.base.id))
        terms = {}
        densities = [parameters["density"][entry.id] for entry in group.non_base]
        draws = drawn(base, [entry.tensor for entry in group.non_base], densities, rescale=parameters["rescale"])
        for entry, (plane, scale) in zip(group.non_base, draws, strict=True):
            if scale is None:
                _refuse_unless_finite(base, group.metadata.name, str(group.base.id))
                _refuse_unless_finite(entry.tensor, group.metadata.name, str(entry.id))
                raise RefusedError(f"tensor {group.metadata.name} overflows float32 when summed", str(entry.id))
            terms[str(entry.id)] = {"scale": scale, "plane": None if plane is None else self._append(plane)}
        self.records[group.metadata.name] = {"shape": list(base.shape), "terms": terms}
        return base

    def _append(self, plane: torch.Tensor) -> int:
        place = -(-self.planes.tell() // ALIGNMENT) * ALIGNMENT
        self.planes.seek(place)
        self.planes.write(memoryview(plane.numpy()))
        return place


def _refuse_unless_finite(tensor: torch.Tensor, name: str, model: str) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise RefusedError(f"tensor {name} holds NaN or infinity", model)


class DiscardingWriter:
    """Takes what mergekit would write to disk, and drops it."""

    def save_tensor(self, name: str, tensor: torch.Tensor, clone: bool = False) -> None:
        """Nothing is kept: our method has taken what it wants."""

    def finalize(self) -> None:
        """Nothing was written, nothing is left to finish."""


class DiscardingWriterTask(TensorWriterTask):  # type: ignore[misc]  # mergekit is untyped
    """Stands in for mergekit's writer. The rest of the graph stays as it is, for the order in which mergekit runs
    tasks of equal priority (fused experts) depends on every task's place in it."""

    def execute(self, **_inputs: object) -> DiscardingWriter:
        """A writer that writes nothing."""
        return DiscardingWriter()


def draw(job: dict[str, Any], out: Path) -> dict[str, Any]:
    """Run mergekit's own plan with `MaskMethod` in the method's place; returns the index of what was drawn."""
    options = MergeOptions(random_seed=job["seed"], num_threads=job["threads"], device="cpu", quiet=True)
    options.apply_global_options()
    transformers.trainer_utils.set_seed(options.random_seed)
    with (out / PLANES).open("wb") as planes:
        method = MaskMethod(planes=planes)
        register(method)
        targets = _planned(job["config"], options)
        saves = [task for task in targets if isinstance(task, SaveTensor)]
        sources = {task.tensor_name: _sources(task.tensor_task) for task in saves}
        print(json.dumps({"total": len(saves)}), flush=True)
        ran = (task for task, _ in Executor(targets, math_device="cpu", storage_device="cpu").run(quiet=True))
        order = [_told(task) for task in ran if isinstance(task, SaveTensor)]
    return {"tensors": list(_index(method.records, order, sources))}


def _told(task: SaveTensor) -> SaveTensor:
    print(json.dumps({"done": task.tensor_name}), flush=True)
    return task


def _planned(config_text: str, options: MergeOptions) -> list[Task]:
    """mergekit's tasks for writing the merge, in its order, with a writer that writes nothing."""
    config = MergeConfiguration.model_validate(yaml.safe_load(config_text))
    config.merge_method = METHOD
    architecture = get_architecture_info(config, options)
    LoaderCache().setup(options=options)
    planner = MergePlanner(config, architecture, options, config.base_model.config())
    *saves, finalize = planner.plan_to_disk(out_path="unused")
    writer = DiscardingWriterTask(**saves[0].writer_task.model_dump())
    saves = [save.model_copy(update={"writer_task": writer}) for save in saves]
    return [*saves, finalize.model_copy(update={"writer_task": writer, "tensor_save_tasks": tuple(saves)})]


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


def _sources(task: ExecuteMergeMethodTask) -> dict[str, dict[str, Any]]:
    """By model: the stored tensor that the output is made of, or the output's own name where mergekit converts.

    Raises RefusedError where mergekit cannot find or make a tensor that the architecture needs.
    """
    found = {}
    for load in task.gather_tensors.arguments().values():
        name = load._resolve_name(LoaderCache().get(load.model))
        if name is not None:
            found[str(load.model)] = {"name": name, "converted": False}
        elif _converts(load):
            found[str(load.model)] = {"name": load.tensor, "converted": True}
    return found


def _converts(load: LoadTensor) -> bool:
    """Whether mergekit makes this tensor from others, as it fuses the experts of a mixture."""
    try:
        return load.execute() is not None
    except RuntimeError:
        architecture = load.model.config().architectures[0]
        raise RefusedError(
            f"mergekit cannot merge {architecture}: it wants a tensor {load.tensor}", str(load.model)
        ) from None


def main(job_file: str, out: str) -> int:
    """Exit code 0, or REFUSED with the refusal as a JSON line."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    try:
        index = draw(job, Path(out))
    except RefusedError as refusal:
        print(json.dumps({"refused": refusal.what, "model": refusal.model}), flush=True)
        return REFUSED
    (Path(out) / INDEX).write_text(json.dumps(index, allow_nan=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
