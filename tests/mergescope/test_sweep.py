"""Which checkpoints a study has: each once, with the weights that it was told by."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from eval.store import open_store
from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.progress import Reporter
from mergescope.inputs import open_judges
from mergescope.study import load_study
from mergescope.sweep import groups_of, sweep
from tests.mergescope.recipes import changed, own_models

Make = Callable[..., Path]
SAFE = {"kind": "model", "name": "rival", "model": "./rival"}


def groups(file: Path, *only: str) -> None:
    list(groups_of(load_study(file), Reporter(io.StringIO()), only))


def test_a_model_that_the_study_has_anyway_is_refused(own_study: Make, tmp_path: Path) -> None:
    file = own_study(changed(own_models(), "eval.checkpoints", [SAFE]))
    shutil.copytree(tmp_path / "safe", tmp_path / "rival")
    line = r"recipe\.yaml: eval\.checkpoints\[0\]\.model: is the study's own model-safe \(got './rival'\); leave it out"
    with pytest.raises(RecipeError, match=line):
        groups(file, "rival")


def test_a_model_of_the_hub_is_the_study_s_own_too(
    own_study: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = changed(changed(own_models(), "eval.checkpoints", [SAFE]), "models.useful", "some/model")
    file = own_study(raw)
    shutil.copytree(tmp_path / "useful", tmp_path / "rival")
    repository, commit = tmp_path / "hub" / "models--some--model", "a" * 40
    shutil.copytree(tmp_path / "useful", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(RecipeError, match="is the study's own model-useful"):
        groups(file, "rival")


def test_one_checkpoint_under_two_names_is_refused(own_study: Make, tmp_path: Path) -> None:
    second = {"kind": "model", "name": "twin", "model": "./twin"}
    file = own_study(changed(own_models(), "eval.checkpoints", [SAFE, second]))
    weights = (tmp_path / "safe" / "config.json").read_text(encoding="utf-8")
    for name in ("rival", "twin"):
        shutil.copytree(tmp_path / "safe", tmp_path / name)
        (tmp_path / name / "config.json").write_text(weights.replace("{", '{"initializer_note": 1,', 1))
    line = r"eval\.checkpoints\[1\]: is the same checkpoint as rival \(got 'twin'\); leave one of them out"
    with pytest.raises(RecipeError, match=line):
        groups(file, "rival", "twin")
    groups(file, "twin")


def test_a_model_that_is_written_before_it_answers_is_refused(own_study: Make, tmp_path: Path) -> None:
    file = own_study(changed(own_models(), "eval.checkpoints", [SAFE]))
    shutil.copytree(tmp_path / "safe", tmp_path / "rival")
    config = tmp_path / "rival" / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace("{", '{"initializer_note": 1,', 1))
    (group,) = groups_of(load_study(file), Reporter(io.StringIO()), ["rival"])
    shutil.copy(tmp_path / "useful" / "model.safetensors", tmp_path / "rival" / "model.safetensors")
    (job,) = group.jobs
    assert job.weights is not None
    with pytest.raises(MergescopeError, match=r"rival: the weights changed since the sweep began; .*run again"):
        list(job.weights({}))


def test_the_weights_of_another_model_are_recorded_as_they_went_in(own_study: Make, tmp_path: Path) -> None:
    file, store = own_study(changed(own_models(), "eval.checkpoints", [SAFE])), tmp_path / "results.duckdb"
    shutil.copytree(tmp_path / "safe", tmp_path / "rival")
    tensors = load_file(tmp_path / "rival" / "model.safetensors")
    save_file({k: t * 2 for k, t in tensors.items()}, tmp_path / "rival" / "model.safetensors", {"format": "pt"})
    sweep(load_study(file), store, Reporter(io.StringIO()), ["rival"])
    with open_store(store, read_only=True) as connection:
        found = connection.execute("SELECT label, tensors FROM swap JOIN checkpoint USING (checkpoint_id)").fetchall()
        answers = connection.execute("SELECT count(*) FROM answer WHERE error_kind IS NULL").fetchall()
    assert (found, answers) == ([("rival", len(tensors))], [(6,)])


def test_one_judge_twice_is_refused(own_study: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    judge = {"kind": "openai", "model": "m", "base_url": "https://gateway/one/v1"}
    other = {**judge, "base_url": "https://gateway/two/v1"}
    two = load_study(own_study(changed(own_models(), "eval.judges", [judge, other])))
    assert [one.name for one in open_judges(two)] == ["m", "m"]
    same = {**judge, "repeats": 3, "concurrency": 2}
    study = load_study(own_study(changed(own_models(), "eval.judges", [judge, other, same])))
    line = r"recipe\.yaml: eval\.judges\[2\]: the same judge stands before it \(got 'm'\); leave one out, or set"
    with pytest.raises(RecipeError, match=line):
        open_judges(study)


def test_one_served_model_twice_is_refused(own_study: Make) -> None:
    first = {"kind": "served", "name": "a", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
    second = {**first, "name": "b", "base_url": "http://127.0.0.1:9/v1/"}
    with pytest.raises(RecipeError, match=r"eval\.checkpoints: .*it must differ: a and b are one model of one server"):
        load_study(own_study(changed(own_models(), "eval.checkpoints", [first, second])))
