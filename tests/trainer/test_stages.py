"""A stage is done once, done again when what it is made of changes, and survives a kill."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mergescope.ground.errors import DataError
from mergescope.ground.files import read_json, read_manifest
from mergescope.ground.progress import Reporter
from trainer.checkpoints import newest
from trainer.config import DpoSection, PretrainSection, WorldSection
from trainer.stages import make_base, make_finetune, make_world

SCRIPT = """
import sys
from pathlib import Path
from mergescope.ground.progress import Reporter
from trainer.config import DpoSection
from trainer.stages import make_finetune
folder, section, base, triples = sys.argv[1:]
section = DpoSection.model_validate_json(section)
reporter = Reporter(file=Path(folder + ".progress"))
make_finetune(Path(folder), "safe", section, Path(base), [Path(triples)], [], 1, reporter)
"""


def weights(folder: Path) -> dict[str, str]:
    manifest = read_manifest(folder)
    assert manifest is not None
    hashes: dict[str, str] = manifest["weights_sha256"]
    return hashes


def test_world_is_made_once_and_again_for_another_seed(tmp_path: Path) -> None:
    folder = make_world(tmp_path / "world", WorldSection(seed=7), Reporter())
    made = (folder / "corpus.jsonl").stat().st_ino
    make_world(folder, WorldSection(seed=7), Reporter())
    assert (folder / "corpus.jsonl").stat().st_ino == made
    make_world(folder, WorldSection(seed=8), Reporter())
    assert (folder / "corpus.jsonl").stat().st_ino != made


def test_base_is_skipped_wherever_its_corpus_lies(pretraining: PretrainSection, corpus: Path, tmp_path: Path) -> None:
    folder = make_base(tmp_path / "base", pretraining, corpus, 1, Reporter())
    first = (folder / "model.safetensors").stat().st_ino
    moved = tmp_path / "elsewhere.jsonl"
    moved.write_bytes(corpus.read_bytes())
    make_base(folder, pretraining.model_copy(update={"corpus": moved}), moved, 1, Reporter())
    assert (folder / "model.safetensors").stat().st_ino == first
    before = weights(folder)
    make_base(folder, pretraining, corpus, 2, Reporter())
    assert weights(folder) != before


def test_finetune_follows_its_triples(tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path) -> None:
    section = tuning.model_copy(update={"steps": 2})
    triples = tmp_path / "triples.jsonl"
    triples.write_bytes(triples_file.read_bytes())
    folder = make_finetune(tmp_path / "safe", "safe", section, base, [triples], [], 1, Reporter())
    first = (folder / "model.safetensors").stat().st_ino
    make_finetune(folder, "safe", section, base, [triples], [], 1, Reporter())
    assert (folder / "model.safetensors").stat().st_ino == first
    triples.write_text("".join(triples.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")
    make_finetune(folder, "safe", section, base, [triples], [], 1, Reporter())
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest["triples"] == 7
    assert {"seed", "steps", "versions", "inputs"} <= manifest.keys()


def test_bad_data_stop_before_anything_is_written(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "safe"
    with pytest.raises(DataError, match="both training and evaluation"):
        make_finetune(folder, "safe", tuning, base, [triples_file], ["金魚を知りたいです。"], 1, Reporter())
    with pytest.raises(DataError, match="two files"):
        make_finetune(folder, "safe", tuning, base, [triples_file, triples_file], [], 1, Reporter())
    assert list(tmp_path.iterdir()) == []


KILLS = 10
LONGEST_S = 0.6
"""Longest time between a process's first step and its kill; every third is killed before it takes one."""


@pytest.mark.deep
def test_training_killed_at_random_moments_ends_as_an_undisturbed_one(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    """The same data, the same steps, the same bits: resumed where a checkpoint was whole, begun anew elsewhere."""
    section = tuning.model_copy(update={"steps": 700, "save_every": 3, "learning_rate": 1e-3})
    whole = make_finetune(tmp_path / "whole" / "safe", "safe", section, base, [triples_file], [], 1, Reporter())
    folder = tmp_path / "killed" / "safe"
    folder.parent.mkdir()
    command = [sys.executable, "-c", SCRIPT, str(folder), section.model_dump_json(), str(base), str(triples_file)]
    moments, went_on = random.Random(7), 0
    for number in range(KILLS):
        progress = folder.with_name("safe.progress")
        progress.unlink(missing_ok=True)
        victim = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(progress, victim)
        if number % 3:
            _wait_for_steps(progress, victim)
        time.sleep(moments.uniform(0, LONGEST_S))
        assert victim.poll() is None
        os.kill(victim.pid, signal.SIGKILL)
        victim.wait()
        assert not folder.exists()
        assert (tmp_path / "killed" / "training" / "safe" / "job.json").is_file()
        went_on += newest(tmp_path / "killed" / "training" / "safe") is not None
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert read_manifest(folder) == read_manifest(whole)
    assert went_on >= KILLS / 3
    assert sorted(path.name for path in folder.parent.iterdir()) == ["logps", "safe", "safe.progress"]


def _wait_for_steps(progress: Path, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Until the training's own task has counted a step of this process; it begins with those of earlier ones."""
    deadline = time.monotonic() + seconds
    while True:
        told = read_json(progress)
        if told["task"] == "DPO" and told["rate"] > 0:
            return
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _wait_for(path: Path, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
