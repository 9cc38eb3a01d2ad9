"""A study whose fine-tunes are adapters: merged once, and after that models like any other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from merge.adapters import AdapterInput, Pair
from merge.identity import weights_hash
from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.files import read_json
from mergescope.ground.progress import Reporter
from mergescope.merges import adapters_of, draw_masks, hub_names, models_of
from mergescope.plan import plan_of
from mergescope.plan_records import Plan
from mergescope.plan_text import plan_lines
from mergescope.stages import stages_of
from mergescope.study import Study, load_study
from tests.merge.adapters import write_adapter
from tests.mergescope.conftest import ROOT, cli
from tests.mergescope.recipes import changed, own_models, written
from tests.mergescope.results import count

PAIRS = {"base": "./base", "safe": "./base+./lora-safe", "useful": "./base+lora/useful/last"}


def recipe(**models: str) -> dict[str, Any]:
    return changed(own_models(), "models", {**PAIRS, **models})


@pytest.fixture
def file(own_study: Callable[..., Path]) -> Path:
    """A recipe of two adapters, with all its files."""
    made = own_study(recipe())
    for seed, name in enumerate(("lora-safe", "lora/useful/last")):
        write_adapter(made.parent / "base", made.parent / name, seed=seed, target_modules=["q_proj", "up_proj"])
    return made


def study_of(folder: Path, **models: str) -> Study:
    return load_study(written(folder, recipe(**models)))


def test_pairs_are_taken_apart(tmp_path: Path) -> None:
    for name in ("base", "own+model", "a+b"):
        (tmp_path / name).mkdir()
    study = study_of(tmp_path, safe="own+model", useful="./a+b+./lora+1")
    assert study.model("safe") == tmp_path / "own+model"  # a folder that is there is meant
    assert study.model("useful") == Pair(tmp_path / "a+b", tmp_path / "lora+1")
    assert study.adapted_roles == ("useful",)
    assert study.is_local
    remote = study_of(tmp_path, safe="owner/base+owner/lora@v2", useful="owner/base+./lora")
    assert remote.model("safe") == Pair("owner/base", "owner/lora@v2")
    assert remote.model("useful") == Pair("owner/base", tmp_path / "lora")
    assert not remote.is_local


@pytest.mark.parametrize(
    ("role", "name", "part"),
    [
        ("base", "./base+./lora", "models.base: must be one model"),
        ("safe", "./base+", "write base+adapter"),
        ("useful", "+./lora", "write base+adapter"),
    ],
)
def test_pairs_that_are_none(tmp_path: Path, role: str, name: str, part: str) -> None:
    study = study_of(tmp_path, **{role: name})
    with pytest.raises(RecipeError, match=part.replace("+", r"\+")):
        _ = study.is_local


def test_the_stage_is_there_where_an_adapter_is(file: Path, own_study: Callable[..., Path]) -> None:
    assert [stage.name for stage in stages_of(load_study(file))] == ["inputs", "masks", "sweep"]
    assert [stage.name for stage in stages_of(load_study(own_study()))] == ["masks", "sweep"]


@pytest.mark.deep
def test_models_and_what_a_bundle_says_of_them(file: Path) -> None:
    study = load_study(file)
    models = models_of(study, Reporter())
    assert models.safe.parent == models.useful.parent == study.folder / "inputs"
    assert models.safe != models.useful
    assert hub_names(study, models) == {}
    found = adapters_of(study, models)
    assert set(found) == {"safe", "useful"}
    safe = found["safe"]
    assert (safe.base, safe.adapter, safe.dtype) == ("./inputs/base", "./inputs/safe-adapter", "float32")
    assert safe.weights_sha256 == weights_hash(models.safe)
    assert safe.base_weights_sha256 == weights_hash(models.base)
    assert set(safe.files) == {"adapter_config.json", "adapter_model.safetensors"}


def plan(file: Path) -> Plan:
    return plan_of(load_study(file), [], 24.0, gpus_named=False)


@pytest.mark.deep
def test_a_plan_knows_what_is_merged_already(file: Path) -> None:
    found = plan(file)
    assert [model.state for model in found.models] == ["here", "to be adapted", "to be adapted"]
    assert found.merge is not None
    first = found.merge.work[0]
    assert (first.name, first.times, first.written) == ("merge an adapter", 2, found.models[1].bytes)
    draw_masks(load_study(file), Reporter())
    before = [(p, p.stat().st_mtime_ns) for p in file.parent.rglob("*")]
    found = plan(file)
    assert before == [(p, p.stat().st_mtime_ns) for p in file.parent.rglob("*")]
    assert [model.state for model in found.models] == ["here", "here", "here"]
    assert "1 of 1 mask seed drawn" in "\n".join(plan_lines(found))
    assert found.room is not None
    assert (found.room.disk_models, found.room.disk_masks) == (0, 0)
    assert found.merge is not None
    assert (found.merge.work[0].name, found.merge.work[0].times) == ("merge an adapter", 0)
    # trained further: the copy of before does not count, and no masks of it do
    write_adapter(file.parent / "base", file.parent / "lora-safe", seed=7, target_modules=["q_proj", "up_proj"])
    found = plan(file)
    assert [model.state for model in found.models] == ["here", "to be adapted", "here"]
    assert found.grid.seeds_drawn == 0
    assert found.room is not None
    assert found.room.disk_models == found.models[1].bytes
    assert "of models to be made" in "\n".join(plan_lines(found))


def test_a_plan_tells_of_an_adapter_that_is_none(file: Path) -> None:
    (file.parent / "lora-safe" / "adapter_model.safetensors").unlink()
    found = plan(file)
    assert [model.state for model in found.models] == ["here", "broken", "to be adapted"]
    (line,) = found.refusals
    assert "no adapter: holds no adapter_model.safetensors" in line


def test_a_plan_counts_an_adapter_that_is_not_fetched_yet_from_its_base(file: Path) -> None:
    written(file.parent, recipe(safe="./base+owner/lora"))
    found = plan(file)
    assert [model.state for model in found.models] == ["here", "to be adapted", "to be adapted"]
    assert found.models[1].bytes
    assert not found.refusals


def test_the_base_of_a_pair_must_be_the_study_s(file: Path) -> None:
    study = study_of(file.parent, safe="./useful+./lora-safe", useful="./useful")
    with pytest.raises(MergescopeError) as caught:
        models_of(study, Reporter())
    line = caught.value.line()
    assert "models.safe: its base" in line
    assert f"{file.parent / 'useful'} holds other weights than models.base, {file.parent / 'base'}" in line
    assert not (study.folder / "inputs").exists()


def rebuild(adapter: AdapterInput, room: Path, role: str) -> subprocess.CompletedProcess[str]:
    """Run the lines of a bundle's script."""
    script = "\n".join(["set -eu", 'fail() { echo "$1" >&2; exit 1; }', *adapter.rebuild_lines(role)])
    command = f'mergescope() {{ "{sys.executable}" -m mergescope "$@"; }}\n{script}'
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"}
    return subprocess.run(["sh", "-c", command], cwd=room, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.deep
def test_from_recipe_to_bundle(file: Path) -> None:
    folder = file.parent
    done = cli("run", file.name, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "merging base + lora-safe: done" in done.stderr
    assert count(folder / "results.duckdb", "checkpoint") == 6
    done = cli("run", file.name, cwd=folder)
    assert "[inputs] was done already" in done.stderr
    assert "inputs    made" in cli("status", file.name, cwd=folder).stdout

    done = cli("export", file.name, "--ratio", "0.5", "--out", "bundle", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "./inputs/safe" in (folder / "bundle" / "mergekit.yaml").read_text(encoding="utf-8")
    shutil.copytree(folder / "base", folder / "bundle" / "inputs" / "base")
    lost_input = cli("verify", "bundle", cwd=folder)
    assert lost_input.returncode == 2
    assert "made by: mergescope adapt ./inputs/base ./inputs/safe-adapter ./inputs/safe --sha256" in lost_input.stderr
    study = load_study(file)
    models = models_of(study, Reporter())
    (folder / "room" / "inputs").mkdir(parents=True)
    lost = rebuild(adapters_of(study, models)["safe"], folder / "room", "safe")
    assert lost.returncode == 1
    assert lost.stderr.startswith("./inputs/base is missing")
    shutil.copytree(folder / "base", folder / "room" / "inputs" / "base")
    shutil.copytree(folder / "lora-safe", folder / "room" / "inputs" / "safe-adapter")
    shutil.copytree(folder / "lora" / "useful" / "last", folder / "room" / "inputs" / "useful-adapter")
    for role, adapter in adapters_of(study, models).items():
        again = rebuild(adapter, folder / "room", role)
        assert again.returncode == 0, again.stderr
        digest = read_json(folder / "bundle" / "manifest.json")["inputs"][role]["weights_sha256"]
        assert digest in again.stdout
    # stock mergekit on the exported config and the rebuilt inputs gives the judged weights
    done = cli("verify", "bundle", "--inputs", "room/inputs", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    moved = "model.layers.0.self_attn.q_proj.weight"
    weights = [load_file(models.folder(role) / "model.safetensors")[moved] for role in ("base", "safe", "useful")]
    assert not weights[0].equal(weights[1])
    assert not weights[1].equal(weights[2])


@pytest.mark.deep
def test_adapt_says_where_other_weights_come_out(file: Path) -> None:
    folder = file.parent
    done = cli("adapt", "base", "lora-safe", "out", "--sha256", "0" * 64, cwd=folder)
    assert done.returncode == 1
    assert f"came out, {'0' * 64} was wanted" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert "the folder was removed" in done.stdout
    assert not (folder / "out").exists()
    (folder / "out").mkdir()
    done = cli("adapt", "base", "lora-safe", "out", cwd=folder)
    assert done.returncode == 2
    assert done.stderr == "out: exists already; name a new folder\n"


def test_adapt_refuses_what_can_be_no_hash_before_it_merges(tmp_path: Path) -> None:
    done = cli("adapt", "base", "lora", "out", "--sha256", "deadbeef", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "--sha256: no sha256: it has 64 digits, 0-9 and a-f (got 'deadbeef')\n"
