"""The benchmark of the shared reference, small: the same losses as two runs of TRL's, and the operations are saved."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.deep
def test_the_base_is_asked_once_and_the_losses_are_the_same(tmp_path: Path) -> None:
    small = ["--harmful", "48", "--others", "32", "--width", "32", "--rounds", "1"]
    out = tmp_path / "pair.json"
    command = [sys.executable, "-m", "benchmarks.train_pair", *small, "--out", str(out), "--work", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["bound"] == 0.9062  # (3 * 48 + 4 * 80) / (4 * 48 + 4 * 80)
    assert result["reached"]["operations_ratio"]  # counted, so that no other work of the machine matters
    assert result["operations_ratio"] > 0.75  # all steps are still taken
    assert result["losses_differ_by"] < 1e-5
