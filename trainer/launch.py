"""Trains in several processes, by Hugging Face's `accelerate launch` and a file of `accelerate config`.

FSDP, DeepSpeed and the number of GPUs are that file's affair; nothing here shards anything.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.files import read_json
from mergescope.ground.progress import Reporter, Task
from trainer.curve import read_curve
from trainer.memory import Sharding

RESULT = "result.json"
"""What the manifest should hold, written by the first process once the model is in OUT."""
ERROR = "error.json"
"""A user's mistake that a process found, as the parent raises it again."""
OUT = "model"
LOG = "launch.log"
PLACES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    *(f"{mpi}_{name}" for mpi in ("PMI", "MV2_COMM_WORLD", "OMPI_COMM_WORLD") for name in ("RANK", "SIZE")),
    *(f"{mpi}_LOCAL_{name}" for mpi in ("MV2_COMM_WORLD", "OMPI_COMM_WORLD") for name in ("RANK", "SIZE")),
)
"""Variables by which launchers, schedulers and MPI tell a process its place among others (torch, accelerate)."""
FOLLOWED = "MERGESCOPE_FOLLOWED"
"""Variable that tells a process that its input is a pipe of ours, which closes when we end."""
POLL_S = 1.0
"""Seconds between two looks at the curve."""
_RAISED = re.compile(r"^(?:\[rank\d+\]: ?)?((?:\w+\.)*\w*(?:Error|Exception|Exit)\b:? ?.*)$", re.MULTILINE)
_KILLED = re.compile(r"^ *traceback *: Signal \d+ \((SIG\w+)\) received by PID", re.MULTILINE)
"""What the launcher says of a process that a signal ended."""
_ROOT_CAUSE = "Root Cause"
"""What the launcher puts before the process that failed first; the others it ended by a signal of its own."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a file of `accelerate config` says, as far as a plan needs it."""

    file: Path
    processes: int
    """Processes over all machines, each with a GPU."""
    machines: int
    sharding: Sharding
    """What is split over the processes: `none`, `optimizer` (ZeRO-1), `gradients` (ZeRO-2, SHARD_GRAD_OP: gradients and
    optimizer), or `all` (ZeRO-3, FULL_SHARD)."""
    engine: str
    """`FSDP`, `DeepSpeed`, or the file's distributed_type."""

    def command(self, work: Path) -> list[str]:
        """The command line that trains the job in `work`."""
        options = ["--config_file", str(self.file), "--main_process_port", "0"]
        return [
            "accelerate",
            "launch",
            *(options if self.machines == 1 else options[:2]),
            "-m",
            "trainer.worker",
            str(work),
        ]


def read_launch(file: Path) -> Launch:
    """Read a file of `accelerate config`; raises RecipeError where it is missing or none."""
    cure = "write one with: accelerate config --config_file FILE"
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError("no such file of accelerate config", where=file, cure=cure) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise RecipeError("not readable as YAML", where=file, cure=cure) from None
    if not isinstance(raw, dict) or not isinstance(raw.get("num_processes"), int) or raw["num_processes"] < 1:
        raise RecipeError("no file of accelerate config: it names no num_processes", where=file, cure=cure)
    machines = raw.get("num_machines", 1)
    return Launch(file, raw["num_processes"], machines, *_sharding(raw, file))


def _sharding(raw: dict[str, Any], file: Path) -> tuple[Sharding, str]:
    """What is sharded, and by what; raises RecipeError for a stage or strategy that is not known."""
    kind = str(raw.get("distributed_type", "NO"))
    known: dict[str, Sharding]
    if kind == "FSDP":
        config = raw.get("fsdp_config") or {}
        # version 2 says by a flag whether the weights are freed after the forward pass
        named = config.get("fsdp_sharding_strategy") or config.get("fsdp_reshard_after_forward", True)
        known = {
            "FULL_SHARD": "all",
            "True": "all",
            "SHARD_GRAD_OP": "gradients",
            "False": "gradients",
            "NO_SHARD": "none",
        }
        key, engine = str(named), "FSDP"
    elif kind == "DEEPSPEED":
        config = raw.get("deepspeed_config") or {}
        known = {"0": "none", "1": "optimizer", "2": "gradients", "3": "all"}
        key, engine = str(config.get("zero_stage", 2)), "DeepSpeed"
    else:
        return "none", kind
    if key not in known:
        raise RecipeError(f"{engine} shards in a way that is not known here", where=file, value=key)
    return known[key], engine


def launch(config: Launch, work: Path, name: str, steps: int, reporter: Reporter) -> dict[str, Any]:
    """Train the job in `work` by `accelerate launch`; the model is then in `work/model`.

    name, steps: of the progress bar. Returns what the manifest should hold. Raises the MergescopeError that a process
    found; or one with the last words of a process that failed otherwise, whose whole output is in `work/launch.log`.
    """
    for left in (RESULT, ERROR):
        (work / left).unlink(missing_ok=True)
    command = [sys.executable, "-m", "accelerate.commands.launch", *config.command(work)[2:]]
    with (
        (work / LOG).open("wb") as log,
        subprocess.Popen(
            command, cwd=work, env=_environment(), stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        ) as process,
        reporter.task(name, steps, "steps") as task,
    ):
        try:
            _watch(process, task, work)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        if process.returncode != 0:
            raise _failure(process.returncode, work)
    content: dict[str, Any] = read_json(work / RESULT)
    return content


@contextmanager
def alone() -> Iterator[None]:
    """This process is the only one of a training within the block, whatever started it says of its place.

    A cluster may set such variables for what it runs. Libraries that believe them wait for the others for ever, and all
    processes but the first write no model.
    """
    place = {name: os.environ.pop(name) for name in PLACES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(place)


def shown(command: list[str]) -> str:
    """A command line as a shell takes it."""
    return shlex.join(command)


def _environment() -> dict[str, str]:
    here = str(Path(__file__).resolve().parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    own = {name: value for name, value in os.environ.items() if name not in PLACES}  # accelerate sets the children's
    return {**own, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", FOLLOWED: "1"}


def _watch(process: subprocess.Popen[bytes], task: Task, work: Path) -> None:
    """Turn the growing curve into progress until the process ends."""
    ended = False
    while not ended:
        try:
            process.wait(POLL_S)
            ended = True
        except subprocess.TimeoutExpired:
            pass
        points = [point for point in read_curve(work) if "loss" in point]
        if points and points[-1]["step"] > task.done:
            task.advance(int(points[-1]["step"]) - task.done, f"loss {points[-1]['loss']:.3f}")


def _failure(code: int, work: Path) -> MergescopeError:
    if (work / ERROR).is_file():
        told = read_json(work / ERROR)
        return MergescopeError(told["what"], where=told["where"], value=told["value"], cure=told["cure"])
    output = (work / LOG).read_text(encoding="utf-8", errors="replace")
    killed = _KILLED.search(output.rpartition(_ROOT_CAUSE)[2])
    if code < 0 or killed:
        cure = "if memory ran out, shard over more GPUs or take a smaller micro_batch_size; then run it again"
        name = killed[1] if killed else signal.Signals(-code).name
        return MergescopeError(f"training was ended from outside by {name}", where=work / LOG, cure=cure)
    said = _RAISED.findall(output)
    own = [line for line in said if "ChildFailedError" not in line]  # elastic's word for any failure
    why = own[0].strip()[:300] if own else f"exit code {code}"
    return MergescopeError(f"accelerate launch failed: {why}", where=work / LOG, cure="see its output there")
