"""Merges by mergekit itself, tensor by tensor to standard output: `python -m merge.stream JOB.json`.

Nothing of mergekit is replaced but the writer: each tensor that it would save goes down the pipe, a line of JSON
(name, dtype, shape) before its bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mergekit.graph import Executor
from mergekit.io.tasks import LoadTensor, SaveTensor

from merge.planned import (
    REFUSED,
    Pipe,
    RefusedError,
    configured,
    leave,
    loads_of,
    planned,
    refuse_unless_finite,
    sources_of,
    started,
)
from merge.tensor_bytes import tensor_bytes


class StreamingWriter:
    """Takes what mergekit would write to disk, and sends it down the pipe."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.loads: Mapping[str, Sequence[LoadTensor]] = {}
        """By output tensor: how mergekit loads what it is made of."""

    def save_tensor(self, name: str, tensor: torch.Tensor, clone: bool = False) -> None:  # noqa: ARG002 - mergekit's
        """Send one tensor. Raises RefusedError where a model's is not finite, or where it became NaN on the way."""
        if not bool(torch.isfinite(tensor).all()):
            for load in self.loads[name]:
                refuse_unless_finite(load.execute(), load.tensor, str(load.model))
            if bool(tensor.isnan().any()):
                raise RefusedError(f"tensor {name} overflows float32 when merged", "")
        dtype = str(tensor.dtype).removeprefix("torch.")
        self._pipe.say({"name": name, "dtype": dtype, "shape": list(tensor.shape)})
        self._pipe.send(tensor_bytes(tensor))

    def finalize(self) -> None:
        """Tell the reader that this was all."""
        self._pipe.say({"done": True})


def stream(job: dict[str, Any], writer: StreamingWriter) -> None:
    """Run mergekit's own plan into `writer`; raises RefusedError, where it can before any tensor is merged."""
    options = started(job)
    targets = planned(configured(job["config"]), options, writer)
    saves = [task for task in targets if isinstance(task, SaveTensor)]
    for save in saves:  # refuses by name, at the price that mixtures' experts are read once more
        sources_of(save.tensor_task)
    writer.loads = {save.tensor_name: loads_of(save.tensor_task) for save in saves}
    for _ in Executor(targets, math_device="cpu", storage_device="cpu").run(quiet=True):
        pass


def main(job_file: str) -> int:
    """Exit code 0, or REFUSED with the refusal as a JSON line."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    pipe = Pipe()
    try:
        stream(job, StreamingWriter(pipe))
    except RefusedError as refusal:
        pipe.say(refusal.message)
        return REFUSED
    return 0


if __name__ == "__main__":
    leave(main(*sys.argv[1:]))
