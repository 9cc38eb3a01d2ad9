"""Toxic text stands in the quarantine and nowhere else, whatever is done with it, and whenever it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mergescope.ground.files import read_json
from mergescope.ground.progress import Reporter
from tests.mergescope.conftest import ROOT, cli
from tests.mergescope.recipes import changed, own_models, write_lines, written
from tests.trainer.pairs.made import make_pair
from trainer.config import DpoSection
from trainer.pairs.from_answers import pair_of_answers
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import PurgedError, Quarantine
from trainer.retention import delete_unused, unfinished
from trainer.stages import make_finetune

TOXIC = "toxic canary 4711"
SECTION = {"steps": 4, "batch_size": 4, "learning_rate": 1e-4, "save_every": 1, "max_length": 200}
AT = datetime(2031, 5, 1, tzinfo=UTC)


def outside(room: Path, quarantine: Path) -> list[Path]:
    """Files of a folder that hold the canary, in any of the forms that a program may write, the quarantine apart."""
    forms = [TOXIC.encode(), TOXIC.encode("utf-16-le"), TOXIC.replace(" ", "\\u0020").encode()]
    files = [path for path in room.rglob("*") if path.is_file() and quarantine not in path.parents]
    assert files
    return [path for path in files if any(form in path.read_bytes() for form in forms)]


def made_set(study: Path) -> PairSet:
    pairs = PairSet(study / "data" / "harmful")
    for number in range(1, 9):
        pairs.add(make_pair(study, number, f"{TOXIC} {number}"))
        pairs.review(f"p{number}", "approve", "Aoi", AT)
    return pairs


def test_add_review_train_and_purge_leave_it_nowhere_else(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    study, temporary = tmp_path / "tiny", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    pairs, inside = made_set(study), study / "quarantine"
    given = {"chosen": "お断りします。", "rejected": f"{TOXIC} 9", "made_by": "r 0.50", "meta": make_pair(study).meta}
    pair_of_answers(study, "from-answers", kind="harmful", prompt="質問9", **given)
    assert [one.rejected for one in pairs.triples(Quarantine(study))] == [f"{TOXIC} {n}" for n in range(1, 9)]
    section = DpoSection.model_validate({**SECTION, "triples": ["x"]})

    def train(seed: int) -> Path:
        reporter = Reporter(sys.stderr, study / "progress.json")
        return make_finetune(study / "model-safe", "safe", section, base, [pairs.folder], [], seed, reporter)

    train(1)
    manifest = read_json(study / "model-safe" / "manifest.json")
    assert manifest["inputs"]["triples"] == [pairs.content_hash()]
    assert outside(tmp_path, inside) == []
    assert len(delete_unused(study, datetime.now(UTC), 0)) == 10
    assert outside(tmp_path, study / "nowhere") == []  # neither in the quarantine
    first = (study / "model-safe" / "manifest.json").stat().st_ino
    train(1)  # is made, and needs no text
    assert (study / "model-safe" / "manifest.json").stat().st_ino == first
    with pytest.raises(PurgedError, match="training data purged"):
        train(2)
    told = capfd.readouterr()
    assert TOXIC not in told.out + told.err


@pytest.mark.deep
def test_a_training_killed_midway_leaves_it_nowhere_else_and_keeps_it(base: Path, tmp_path: Path) -> None:
    study, temporary = tmp_path / "tiny", tmp_path / "temporary"
    temporary.mkdir()
    pairs, inside = made_set(study), study / "quarantine"
    raw = changed(own_models(), "models", {"base": str(base)})
    sections = {role: {**SECTION, "steps": 40, "triples": ["tiny/data/harmful"]} for role in ("safe", "useful")}
    write_lines(tmp_path / "prompts.jsonl", [{"key": "1", "kind": "harmful", "prompt": "別の質問", "category": ["a"]}])
    recipe = written(tmp_path, changed(raw, "train", {**sections, "seed": 1}))
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "mergescope", "train", str(recipe)]
    with subprocess.Popen(command, env=surroundings, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while not list(study.glob("training/safe/checkpoint-*")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert list(unfinished(study)) == [study / "training" / "safe"]
    assert outside(tmp_path, inside) == []
    done = cli("purge", recipe, "--now", "--yes", cwd=tmp_path)
    assert done.stdout.splitlines() == ["0 toxic texts deleted", "8 kept: unfinished trainings need them"]
    done = cli("train", recipe, cwd=tmp_path, TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert TOXIC not in done.stdout + done.stderr
    assert outside(tmp_path, inside) == []
    done = cli("purge", recipe, "--now", "--yes", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "8 toxic texts deleted"
    status = cli("status", recipe, cwd=tmp_path).stdout
    assert "safe      made, training data purged: 8 of 8 rejected answers" in status
    assert len(pairs.reviewed()) == 8
