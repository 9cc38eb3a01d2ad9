"""The benchmark of the pages on a big store, small: every page answers, beside a sweep too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.browser import CHROMEDRIVER, CHROMIUM

ROOT = Path(__file__).parents[2]


@pytest.mark.deep
@pytest.mark.skipif(CHROMIUM is None or CHROMEDRIVER is None, reason="no Chromium: apt-get install chromium-driver")
def test_pages_answer_beside_a_sweep(tmp_path: Path) -> None:
    small = ["--prompts", "400", "--rounds", "1", "--seconds", "4"]
    out = tmp_path / "load.json"
    command = [sys.executable, "-m", "benchmarks.dashboard_load", *small, "--out", str(out), "--work", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["cold_s"]["n"] == 1
    for name in ("quiet", "beside_a_sweep"):
        assert result[name]["click_s"]["n"] >= 8  # of ten actions each runs a page; a click beside a point may not
        assert result[name]["users_s"]["n"] >= 5
        assert 50 < result[name]["memory_mb"] < 1000
    assert result["holds_ms"]["board, all checkpoints"]["n"] > 3
