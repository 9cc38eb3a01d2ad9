"""Inputs that cannot be merged are refused in one line that names the place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from merge.masks import masks_for
from merge.sources import MappedCheckpoint, Models, check_models, local_folder, stored_dtype, stored_tensors
from mergescope.ground.errors import CheckpointError
from tests.merge.conftest import World, a_point

ROLES = ("base", "safe", "useful")


@pytest.fixture
def models(worlds: Callable[..., World], tmp_path: Path) -> Models:
    """A copy that a test may spoil."""
    made = worlds().models
    for role in ROLES:
        shutil.copytree(made.folder(role), tmp_path / role)
    return Models(*(tmp_path / role for role in ROLES))


def change_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def refusal(models: Models) -> str:
    with pytest.raises(CheckpointError) as caught:
        check_models(models, ROLES)
    assert "\n" not in caught.value.line()
    return caught.value.line()


def test_good_models_pass(models: Models) -> None:
    check_models(models, ROLES)
    assert stored_dtype(models.base) == "float32"


def test_another_architecture(models: Models) -> None:
    change_config(models.useful, architectures=["MistralForCausalLM"])
    assert "architectures is ['MistralForCausalLM']" in refusal(models)


def test_another_vocabulary_names_tensor_and_both_shapes(models: Models) -> None:
    name = "model.embed_tokens.weight"
    change_weights(models.safe, lambda t: t.update({name: t[name][:-8].clone()}))
    line = refusal(models)
    assert name in line
    assert "[992, 64]" in line
    assert "[1000, 64]" in line


def test_a_missing_tensor_is_not_skipped(models: Models) -> None:
    change_weights(models.useful, lambda t: t.pop("model.norm.weight"))
    assert "model.norm.weight" in refusal(models)


def test_truncated_file(models: Models) -> None:
    file = models.safe / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    assert "truncated" in refusal(models)


@pytest.mark.parametrize("content", [b"", b"12", b"\x10\0\0\0\0\0\0\0{broken json!!!"])
def test_no_safetensors_file(models: Models, content: bytes) -> None:
    (models.safe / "model.safetensors").write_bytes(content)
    assert "safetensors" in refusal(models)


def test_pickles_are_refused(models: Models) -> None:
    (models.safe / "model.safetensors").unlink()
    (models.safe / "pytorch_model.bin").write_bytes(b"")
    assert "pickled" in refusal(models)


def test_code_of_their_own_is_refused(models: Models) -> None:
    change_config(models.base, auto_map={"AutoModel": "x.Y"})
    assert "auto_map" in refusal(models)


def test_missing_folder(models: Models) -> None:
    shutil.rmtree(models.useful)
    assert "no such checkpoint folder" in refusal(models)
    with pytest.raises(CheckpointError, match="no such checkpoint folder"):
        local_folder(models.useful)


def test_a_shard_that_the_index_names_must_be_there(models: Models) -> None:
    (models.safe / "model.safetensors").rename(models.safe / "model-00001-of-00002.safetensors")
    places = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (models.safe / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    assert "model-00002-of-00002.safetensors" in refusal(models)


def test_an_index_cannot_point_outside(models: Models) -> None:
    (models.safe / "model.safetensors").unlink()
    (models.safe / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../base/model.safetensors"}})
    )
    assert "../base/model.safetensors" in refusal(models)


@pytest.mark.parametrize("value", [float("nan"), pytest.param(float("inf"), marks=pytest.mark.deep)])
def test_nan_and_infinity_are_named_with_their_model(models: Models, tmp_path: Path, value: float) -> None:
    name = "model.layers.1.mlp.up_proj.weight"

    def spoil(tensors: dict[str, torch.Tensor]) -> None:
        tensors[name][3, 4] = value

    change_weights(models.useful, spoil)
    with pytest.raises(CheckpointError) as caught:
        masks_for(tmp_path / "study", a_point(), models, threads=1)
    assert name in caught.value.what
    assert caught.value.where == models.useful
    assert not list((tmp_path / "study" / "masks").iterdir())


def test_mapped_tensors_are_the_stored_ones(models: Models) -> None:
    mapped, loaded = MappedCheckpoint(models.safe), load_file(models.safe / "model.safetensors")
    assert set(stored_tensors(models.safe)) == set(loaded)
    for name, tensor in loaded.items():
        assert torch.equal(mapped.tensor(name), tensor)
