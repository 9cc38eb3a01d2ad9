"""The yardstick: stock mergekit in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import IO

from merge.child import child_environment, link_inputs
from merge.mergekit_yaml import CONFIG, OUTPUT
from merge.points import Role
from merge.sources import Models
from mergescope.ground.progress import Reporter

SHARE = re.compile(r"Executing graph: +(\d+)%")
"""mergekit's own bar, one step of which is a tensor read, merged or written."""


def stock_merge(
    room: Path,
    config_text: str,
    models: Models,
    roles: tuple[Role, ...],
    *,
    seed: int,
    threads: int,
    level: str,
    reporter: Reporter | None = None,
) -> Path:
    """Run `mergekit-yaml` on a config whose models are `inputs/<role>`; returns the folder of merged weights.

    room: an empty folder to work in. level: ATEN_CPU_CAPABILITY. Raises RuntimeError with mergekit's last words
    where it fails.
    """
    link_inputs(room, models, roles)
    (room / CONFIG).write_text(config_text, encoding="utf-8")
    options = ["--random-seed", str(seed), "--num-threads", str(threads), "--device", "cpu"]
    options += ["--trust-remote-code"] if models.trust_remote_code else []
    with subprocess.Popen(
        [sys.executable, "-m", "mergekit.scripts.run_yaml", CONFIG, OUTPUT, *options],
        cwd=room,
        env=child_environment(level),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        said = _followed(process.stderr, reporter or Reporter())
    if process.returncode != 0:
        raise RuntimeError(f"mergekit-yaml failed with exit code {process.returncode}:\n{said}")
    return room / OUTPUT


def _followed(errors: IO[str] | None, reporter: Reporter) -> str:
    """Turn mergekit's bar into progress; returns the last of what it says otherwise."""
    said = ""
    with reporter.task("stock mergekit", 100, "%") as task:
        for line in errors or ():  # text mode ends a line at the \r of a bar, too
            if share := SHARE.match(line):
                task.advance(int(share[1]) - task.done)
            else:
                said = (said + line)[-4000:]
    return said
