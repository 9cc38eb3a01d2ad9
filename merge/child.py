"""A fresh process that runs mergekit's plan: its environment, its inputs, what it says, and how it ends.

A process of its own, because the number of interop threads and the kernel level are settled at its start.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from merge.mergekit_yaml import ROLES
from merge.points import Role
from merge.sources import Models
from mergescope.ground.errors import CheckpointError, MergescopeError

ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=4294967296"}
"""Keeps freed tensors for the next ones. Without it glibc gives each back to the system, whose zeroing of fresh pages
takes a third of the time of drawing masks. A user's own tunables win."""


START = "import gc, runpy, sys; gc.disable(); del sys.argv[0]; runpy.run_module(sys.argv[0], {}, '__main__', True)"
"""As `python -m MODULE`, without collecting garbage while modules load, which takes a fifth of their time. The process
turns it on again before it works (`merge.planned.started`)."""


@dataclass(frozen=True, slots=True)
class Child:
    """The running process, as its parent reads it."""

    output: BufferedReader
    """Lines of JSON, and whatever bytes a line announces."""
    models: Models
    """What it was given."""

    def message(self) -> dict[str, Any] | None:
        """Its next line; None where it says no more.

        Raises CheckpointError where it refuses a model, OSError where a disk refuses its output.
        """
        line = self.output.readline()
        if not line.endswith(b"\n"):
            return None
        message: dict[str, Any] = json.loads(line)
        if "refused" in message:
            role = ROLES.get(message["model"])
            raise CheckpointError(message["refused"], where=None if role is None else self.models.folder(role))
        if "errno" in message:
            raise OSError(message["errno"], os.strerror(message["errno"]))
        return message


@contextmanager
def child(
    module: str, job: Mapping[str, Any], models: Models, roles: tuple[Role, ...], level: str | None, *arguments: str
) -> Iterator[Child]:
    """Run `MODULE job.json ARGUMENTS` for the block, in a room where the models are `inputs/<role>`.

    level: ATEN_CPU_CAPABILITY, None for this machine's own. When the block is left by an error or early, the process
    is ended. Raises MergescopeError where it was killed and RuntimeError with its last words where it failed; a block
    that misses something raises EOFError to say so.
    """
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        link_inputs(room, models, roles)
        trusted = {"trust_remote_code": models.trust_remote_code}
        (room / "job.json").write_text(json.dumps({**job, **trusted}), encoding="utf-8")
        command = [sys.executable, "-c", START, module, "job.json", *arguments]
        with (
            (room / "errors").open("w+", encoding="utf-8", errors="replace") as errors,
            subprocess.Popen(
                command, cwd=room, env=ALLOCATOR | child_environment(level), stdout=subprocess.PIPE, stderr=errors
            ) as process,
        ):
            whole = True
            try:
                yield Child(_piped(process), models)
            except EOFError:
                whole = False
            except BaseException:
                process.kill()
                raise
            if process.wait() != 0 or not whole:
                raise _failure(module, process.returncode, errors)


def _piped(process: subprocess.Popen[bytes]) -> BufferedReader:
    if not isinstance(process.stdout, BufferedReader):
        raise ValueError("the process's output is not piped")
    return process.stdout


def _failure(module: str, code: int, errors: IO[str]) -> Exception:
    if code < 0:
        cure = "if memory ran out, close other programs or take a larger machine; then run it again"
        return MergescopeError(f"mergekit's process was ended from outside by {signal.Signals(-code).name}", cure=cure)
    errors.seek(0)
    return RuntimeError(f"{module} failed with exit code {code}:\n{errors.read()[-4000:]}")


def link_inputs(room: Path, models: Models, roles: tuple[Role, ...]) -> None:
    """Folders under the names that the exported config uses: mergekit reads `+` and `@` in a path as its own."""
    (room / "inputs").mkdir()
    for role in roles:
        (room / "inputs" / role).symlink_to(models.folder(role).resolve(), target_is_directory=True)


def child_environment(level: str | None) -> dict[str, str]:
    """The environment of a process whose sums shall come out as at kernel level `level`; nothing goes online.

    None leaves the level to the process: its own, as it is here.
    """
    here = str(Path(__file__).resolve().parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        **({} if level is None else {"ATEN_CPU_CAPABILITY": level}),
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
    }
