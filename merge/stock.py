"""The yardstick: stock mergekit in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from merge.child import child_environment, link_inputs
from merge.mergekit_yaml import CONFIG, OUTPUT
from merge.points import Role
from merge.sources import Models


def stock_merge(
    room: Path, config_text: str, models: Models, roles: tuple[Role, ...], *, seed: int, threads: int, level: str
) -> Path:
    """Run `mergekit-yaml` on a config whose models are `inputs/<role>`; returns the folder of merged weights.

    room: an empty folder to work in. level: ATEN_CPU_CAPABILITY. Raises RuntimeError with mergekit's last words
    where it fails.
    """
    link_inputs(room, models, roles)
    (room / CONFIG).write_text(config_text, encoding="utf-8")
    options = ["--random-seed", str(seed), "--num-threads", str(threads), "--device", "cpu", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "mergekit.scripts.run_yaml", CONFIG, OUTPUT, *options],
        cwd=room,
        env=child_environment(level),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"mergekit-yaml failed with exit code {done.returncode}:\n{done.stderr[-4000:]}")
    return room / OUTPUT
