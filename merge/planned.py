"""mergekit's own plan of a merge, with a writer of ours in place of its own: what every child process runs.

The process starts as the stock `mergekit-yaml` does: same options, seed, threads, planner, loader.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, NoReturn, Protocol

import torch
import transformers
import yaml
from mergekit.architecture import get_architecture_info
from mergekit.config import MergeConfiguration
from mergekit.graph import Task
from mergekit.io.tasks import LoaderCache, LoadTensor, TensorWriterTask
from mergekit.merge_methods.task_adapter import ExecuteMergeMethodTask
from mergekit.options import MergeOptions
from mergekit.plan import MergePlanner

REFUSED = 3
"""Exit code for an input that no merge can use."""


class RefusedError(Exception):
    """An input that no merge can use; the parent process shows it to the user."""

    def __init__(self, what: str, model: str) -> None:
        super().__init__(what)
        self.what = what
        self.model = model
        """The model's name in the config; empty where no single model is at fault."""

    @property
    def message(self) -> dict[str, str]:
        """The refusal as the parent process reads it."""
        return {"refused": self.what, "model": self.model}


class Writer(Protocol):
    """What mergekit hands its tensors to."""

    def save_tensor(self, name: str, tensor: torch.Tensor, clone: bool = False) -> None:
        """Take one tensor of the merge, in its final dtype."""

    def finalize(self) -> None:
        """All tensors were taken."""


class SubstituteWriterTask(TensorWriterTask):  # type: ignore[misc]  # mergekit is untyped
    """Stands in for mergekit's writer. The rest of the graph stays as it is, for the order in which mergekit runs
    tasks of equal priority (fused experts) depends on every task's place in it."""

    writer: Any
    """A `Writer`."""

    def execute(self, **_inputs: object) -> Writer:
        """The substitute."""
        writer: Writer = self.writer
        return writer


def started(job: Mapping[str, Any]) -> MergeOptions:
    """Settle the job's seed and threads for this process, as the stock command does; returns mergekit's options."""
    gc.enable()  # off while modules loaded: see `merge.child.START`
    options = MergeOptions(
        random_seed=job["seed"],
        num_threads=job["threads"],
        device="cpu",
        quiet=True,
        trust_remote_code=job["trust_remote_code"],
    )
    options.apply_global_options()
    transformers.trainer_utils.set_seed(options.random_seed)
    return options


def configured(text: str) -> MergeConfiguration:
    """A config's text as mergekit reads it."""
    return MergeConfiguration.model_validate(yaml.safe_load(text))


def planned(config: MergeConfiguration, options: MergeOptions, writer: Writer) -> list[Task]:
    """mergekit's tasks for writing the merge, in its order, with `writer` in the place of its own."""
    architecture = get_architecture_info(config, options)
    LoaderCache().setup(options=options)
    planner = MergePlanner(config, architecture, options, config.base_model.config(options.trust_remote_code))
    *saves, finalize = planner.plan_to_disk(out_path="unused")
    task = SubstituteWriterTask(**saves[0].writer_task.model_dump(), writer=writer)
    saves = [save.model_copy(update={"writer_task": task}) for save in saves]
    return [*saves, finalize.model_copy(update={"writer_task": task, "tensor_save_tasks": tuple(saves)})]


def loads_of(task: ExecuteMergeMethodTask) -> list[LoadTensor]:
    """The loading of every model's part in one tensor."""
    return list(task.gather_tensors.arguments().values())


def sources_of(task: ExecuteMergeMethodTask) -> dict[str, dict[str, Any]]:
    """By model: the stored tensor that the output is made of, or the output's own name where mergekit converts.

    Raises RefusedError where mergekit cannot find or make a tensor that the architecture needs.
    """
    found = {}
    for load in loads_of(task):
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
        architecture = load.model.config(LoaderCache().trust_remote_code).architectures[0]
        raise RefusedError(
            f"mergekit cannot merge {architecture}: it wants a tensor {load.tensor}", str(load.model)
        ) from None


def refuse_unless_finite(tensor: torch.Tensor, name: str, model: str) -> None:
    """Raises RefusedError for a tensor that holds NaN or infinity."""
    if not bool(torch.isfinite(tensor).all()):
        raise RefusedError(f"tensor {name} holds NaN or infinity", model)


class Pipe:
    """Standard output for ourselves alone: what a library or a model's own code prints goes to standard error."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a line of JSON."""
        self.send(json.dumps(message).encode() + b"\n")

    def send(self, data: bytes | memoryview) -> None:
        """Send bytes that a line announced."""
        self._stream.write(data)
        self._stream.flush()


def leave(code: int) -> NoReturn:
    """End a child process at once: it has written what it had to, and taking down torch with gigabytes of tensors in
    memory would keep its parent waiting for another second."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
