"""Watches a transformers Trainer: progress, curve, sealed checkpoints, early stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergescope.ground.errors import MergescopeError
from mergescope.ground.progress import Task
from trainer.checkpoints import seal
from trainer.config import EarlyStopSection
from trainer.curve import append_point, point_of


def follow(
    trainer: Any, task: Task, work: Path, metrics: Mapping[str, str], early_stop: EarlyStopSection | None
) -> None:
    """Let the trainer speak through the task and the files of `work` alone. metrics: see `trainer.curve.point_of`."""
    from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback

    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    trainer.add_callback(_watcher(task, work, metrics))
    if early_stop is not None:
        trainer.add_callback(EarlyStoppingCallback(early_stop.patience))


def _watcher(task: Task, work: Path, metrics: Mapping[str, str]) -> Any:
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]
        """Turns the trainer's events into progress, points of the curve and sealed checkpoints."""

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:  # noqa: ARG002
            point = point_of({**logs, "step": state.global_step}, metrics)
            if point is None:
                return
            # a gradient that is none has spoiled the weights, and after the last step no loss would tell
            _require_finite({**point, "the gradient": logs.get("grad_norm", 0.0)})
            if state.is_world_process_zero:
                append_point(work, point)
            if "loss" in point:
                task.advance(note=f"loss {point['loss']:.3f}")

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            _wait_for_all()  # each process writes states of its own
            if state.is_world_process_zero:
                seal(work, state.global_step, state.best_global_step)

    return Watcher()


def _require_finite(point: Mapping[str, float]) -> None:
    name = next((name for name, value in point.items() if not math.isfinite(value)), None)
    if name is not None:
        cure = "lower learning_rate, or look for triples that are empty or much too long"
        raise MergescopeError(f"{name} is no number any more", where=f"step {point['step']:.0f}", cure=cure)


def _wait_for_all() -> None:
    import torch.distributed as processes

    if processes.is_available() and processes.is_initialized():
        processes.barrier()
