"""A whole study of three tiny models through the command line, from recipe to results."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import read_json
from mergescope.ground.progress import LOG, Reporter
from mergescope.stages import logged
from tests.mergescope.conftest import PROMPTS, cli, prompt_lines, write_lines
from tests.mergescope.recipes import changed, own_models, written
from tests.mergescope.results import count, rows, stage_hashes

ASKED = sum(map(len, PROMPTS.values()))


def test_every_checkpoint_answered_and_was_judged(finished: Path) -> None:
    store = finished / "results.duckdb"
    kinds = sorted(row[1] for row in rows(store)["checkpoint"])
    assert kinds == ["base", "merge", "merge", "merge", "model-safe", "model-useful"]
    assert count(store, "answer") == 6 * ASKED
    assert count(store, "estimate") > 0
    assert not (finished / "network").exists()


def test_progress_ends_as_done(finished: Path) -> None:
    progress = read_json(finished / "tiny" / "progress.json")
    assert progress["state"] == "done"
    assert progress["stage"] == "sweep"


def test_a_second_run_does_nothing_again(copied: Path) -> None:
    before, stages = rows(copied / "results.duckdb"), stage_hashes(copied / "tiny")
    made = {p: p.stat().st_mtime_ns for p in (copied / "tiny" / "masks").rglob("*")}
    done = cli("run", "recipe.yaml", cwd=copied)
    assert done.returncode == 0, done.stderr
    assert "[masks] was done already" in done.stderr
    assert rows(copied / "results.duckdb") == before
    assert stage_hashes(copied / "tiny") == stages
    assert {p: p.stat().st_mtime_ns for p in (copied / "tiny" / "masks").rglob("*")} == made


@pytest.mark.deep
def test_another_ratio_and_another_prompt_cost_only_themselves(copied: Path) -> None:
    store = copied / "results.duckdb"
    before = rows(store)
    written(copied, changed(own_models(), "merge.ratios", [0, 0.25, 0.5, 1]))
    extra = {"key": "new", "kind": "benign", "prompt": "名所は？", "category": ["benign"]}
    write_lines(copied / "prompts.jsonl", [*prompt_lines(), extra])
    done = cli("run", "recipe.yaml", cwd=copied)
    assert done.returncode == 0, done.stderr
    after = rows(store)
    assert len(after["answer"]) == len(before["answer"]) + ASKED + 7
    assert set(before["answer"]) <= set(after["answer"])
    assert len({row[0] for row in after["study_checkpoint"]}) == 1
    assert len(after["study_checkpoint"]) == 7


@pytest.mark.deep
def test_speed_settings_repeat_no_work(copied: Path) -> None:
    before = rows(copied / "results.duckdb")
    written(copied, changed(own_models(), "eval.engine.batch_size", 3))
    assert cli("run", "recipe.yaml", cwd=copied).returncode == 0
    assert rows(copied / "results.duckdb")["answer"] == before["answer"]


def test_status_tells_stages_and_counts(finished: Path) -> None:
    done = cli("status", "recipe.yaml", cwd=finished)
    assert done.returncode == 0, done.stderr
    assert "masks     made" in done.stdout
    answers = f"{6 * ASKED} of {6 * ASKED} answers"
    assert f"6 checkpoints, {ASKED} prompts, {answers}" in done.stdout
    assert "before its last changes" not in done.stdout


def test_the_log_says_what_ran(finished: Path) -> None:
    text = (finished / "tiny" / "run.log").read_text(encoding="utf-8")
    assert f"mergescope {version('mergescope')}: " in text
    assert "[masks] done in" in text
    assert "[sweep] done in" in text


@pytest.mark.parametrize(
    ("error", "last"),
    [(MergescopeError("no room", where="x.yaml", cure="free some"), "x.yaml: no room; free some"),
     (KeyboardInterrupt(), "ended by KeyboardInterrupt")],
    ids=["mendable", "stopped"],
)  # fmt: skip
def test_the_log_says_what_ended_a_run(error: BaseException, last: str, tmp_path: Path) -> None:
    with pytest.raises(type(error)), logged(Reporter(log=tmp_path / LOG), ["masks"]):
        raise error
    assert (tmp_path / LOG).read_text().splitlines()[-1].endswith(last)


def test_status_of_a_changed_recipe_says_so(copied: Path) -> None:
    written(copied, changed(own_models(), "eval.sampling.max_tokens", 9))
    assert "of the recipe before its last changes" in cli("status", "recipe.yaml", cwd=copied).stdout


def test_export_writes_the_config_of_the_point_with_its_evidence(copied: Path) -> None:
    done = cli("export", "recipe.yaml", "--ratio", "0.5", "--out", "bundle", cwd=copied)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((copied / "bundle" / "mergekit.yaml").read_text(encoding="utf-8"))
    assert config["merge_method"] == "dare_ties"
    manifest = read_json(copied / "bundle" / "manifest.json")
    merges = {row[0] for row in rows(copied / "results.duckdb")["checkpoint"]}
    assert manifest["merge_id"] in merges
    assert manifest["evaluated"]
    assert manifest["not_compared"] == []
    (judge,) = read_json(copied / "bundle" / "scores.json")["judges"]
    roles = [found["role"] for found in judge["checkpoints"]]
    assert roles == ["point", "base", "model-safe", "model-useful", "end", "end"]
    assert all(set(found["splits"]) == {"all", "select", "confirm"} for found in judge["checkpoints"])
    for path in (copied / "bundle").iterdir():
        assert str(copied) not in path.read_text(encoding="utf-8")


@pytest.mark.deep
def test_an_exported_bundle_verifies_until_its_inputs_change(copied: Path) -> None:
    cli("export", "recipe.yaml", "--ratio", "0.4", "--out", "bundle", "--materialize", cwd=copied)
    assert (copied / "bundle" / "checkpoint" / "model.safetensors").is_file()
    done = cli("verify", "bundle", "--inputs", ".", cwd=copied)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "tensors are equal in every bit" in done.stdout
    shutil.copyfile(copied / "base" / "model.safetensors", copied / "safe" / "model.safetensors")
    done = cli("verify", "bundle", "--inputs", ".", cwd=copied)
    assert done.returncode == 1
    assert "inputs/safe/model.safetensors is not the file that the merge was made from" in done.stdout


@pytest.mark.deep
def test_the_models_may_move_without_new_work(copied: Path) -> None:
    (copied / "elsewhere").mkdir()
    shutil.move(copied / "base", copied / "elsewhere" / "base")
    os.utime(copied / "elsewhere" / "base" / "model.safetensors", (time.time(), time.time()))
    before = rows(copied / "results.duckdb")
    written(copied, changed(own_models(), "models.base", "./elsewhere/base"))
    done = cli("run", "recipe.yaml", cwd=copied)
    assert done.returncode == 0, done.stderr
    assert "[masks] was done already" in done.stderr
    assert rows(copied / "results.duckdb")["answer"] == before["answer"]


@pytest.mark.deep
def test_a_study_that_mergekit_itself_merges(own_study: Callable[..., Path]) -> None:
    raw = changed(own_models(), "merge", {"ratios": [0, 0.5], "method": "ties", "density_useful": 0.3})
    folder = own_study(raw).parent
    done = cli("merge", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "nothing is drawn" in done.stderr
    done = cli("run", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not (folder / "tiny" / "masks").exists()
    found = rows(folder / "results.duckdb")
    assert len(found["answer"]) == 5 * ASKED
    ways = [(row[3], row[13]) for row in found["checkpoint"] if row[1] == "merge"]
    assert ways == [("ties", "mergekit")] * 2
    assert cli("run", "recipe.yaml", cwd=folder).returncode == 0
    assert rows(folder / "results.duckdb") == found
    assert "masks" not in cli("status", "recipe.yaml", cwd=folder).stdout
    cli("export", "recipe.yaml", "--ratio", "0.5", "--out", "bundle", "--materialize", cwd=folder)
    assert read_json(folder / "bundle" / "manifest.json")["merge_id"] in {row[0] for row in found["checkpoint"]}
    assert (folder / "bundle" / "checkpoint" / "model.safetensors").is_file()
    done = cli("verify", "bundle", "--inputs", ".", cwd=folder)
    assert "tensors are equal in every bit" in done.stdout, done.stderr
