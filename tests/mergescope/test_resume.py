"""A run that is killed in each of its stages ends like one that was not; and no stage reaches another machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mergescope.ground.files import read_json
from tests.mergescope.conftest import ROOT, cli
from tests.mergescope.recipes import changed, demo, written
from tests.mergescope.results import rows, stage_hashes

pytestmark = pytest.mark.deep
STAGES = ("world", "base", "safe", "useful", "masks", "sweep")
PATIENCE_S = 300


def miniature() -> dict[str, Any]:
    """The demo with few steps, ratios and tokens: every stage of it, none of its quality."""
    raw = demo()
    for path, value in {
        "train.pretrain.steps": 4,
        "train.pretrain.batch_size": 8,
        "train.pretrain.hidden_size": 32,
        "train.pretrain.layers": 1,
        "train.pretrain.heads": 2,
        "train.safe.steps": 3,
        "train.useful.steps": 3,
        "train.safe.batch_size": 4,
        "train.useful.batch_size": 4,
        "merge.ratios": [0, 0.5, 1],
        "eval.sampling.max_tokens": 4,
    }.items():
        changed(raw, path, value)
    return raw


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a miniature demo that ran through."""
    folder = tmp_path_factory.mktemp("undisturbed")
    written(folder, miniature())
    done = cli("run", "recipe.yaml", cwd=folder, NETWORK_LOG=str(folder / "network"))
    assert done.returncode == 0, done.stderr
    return folder


def test_the_demo_opens_no_outgoing_connection(undisturbed: Path) -> None:
    log = undisturbed / "network"
    assert not log.exists(), log.read_text(encoding="utf-8")


def test_a_kill_in_each_stage_changes_nothing(undisturbed: Path, tmp_path: Path) -> None:
    written(tmp_path, miniature())
    killed = [stage for stage in STAGES if _run_until(tmp_path, stage)]
    assert killed == list(STAGES)
    done = cli("run", "recipe.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert stage_hashes(tmp_path / "demo") == stage_hashes(undisturbed / "demo")
    expected = rows(undisturbed / "results.duckdb")
    for table, found in rows(tmp_path / "results.duckdb").items():
        assert found == expected[table], table
    assert not list((tmp_path / "demo").glob("**/.*.part"))


def _run_until(folder: Path, stage: str) -> bool:
    """Run, and kill the process once it is in the middle of `stage`; False where that was over too soon."""
    command = [sys.executable, "-m", "mergescope", "run", "recipe.yaml"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"}
    with (
        (folder / "log").open("w", encoding="utf-8") as log,
        subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log) as process,
    ):
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < deadline:
            if _is_in(folder / "demo", stage):
                process.kill()
                return True
            time.sleep(0.005)
        process.kill()
    return False


def _is_in(study: Path, stage: str) -> bool:
    """Whether the stage has begun its work: its unfinished folder is there, or its progress has moved."""
    if stage == "sweep":
        path = study / "progress.json"
        progress = read_json(path) if path.exists() else {"stage": "", "done": 0}
        return progress["stage"] == "sweep" and progress["done"] > 0
    name = {"safe": "model-safe", "useful": "model-useful", "masks": "masks/*"}.get(stage, stage)
    parent, _, last = name.rpartition("/")
    return any((study / parent).glob(f".{last}.*.part"))
