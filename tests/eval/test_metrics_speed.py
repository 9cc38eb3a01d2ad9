"""The benchmark of the metrics' speed, small: it runs, and only what changed is written again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.deep
def test_only_what_changed_is_written_again(tmp_path: Path) -> None:
    small = ["--merges", "3", "--prompts", "400", "--rounds", "1"]
    out = tmp_path / "speed.json"
    command = [sys.executable, "-m", "benchmarks.metrics_speed", *small, "--out", str(out), "--work", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    result = json.loads(out.read_text(encoding="utf-8"))
    first, gained, nothing_new = (result[name]["written"] for name in ("first", "gained", "nothing_new"))
    assert first > 3 * gained > 0  # of three checkpoints one gained scores, and not for every metric
    assert nothing_new == 0
