"""The benchmark of pages beside a sweep, small: it runs, no page fails, and all that was to be written is there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.deep
def test_no_page_fails_beside_a_writer(tmp_path: Path) -> None:
    small = ["--merges", "2", "--prompts", "400", "--commits", "4", "--readers", "2"]
    out = tmp_path / "readers.json"
    command = [sys.executable, "-m", "benchmarks.store_readers", *small, "--out", str(out), "--work", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["failed_reads"]["value"] == 0
    assert result["store"]["answer"] == 800
    assert result["pages"]["shown"] > 20
    assert result["holds"]["count"] >= 12  # two first pages of six reads each
    assert result["writer_with_readers"]["commit_ms"]["max"] < 5000
