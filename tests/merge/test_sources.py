"""Inputs that cannot be merged are refused in one line that names the place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from merge.masks import masks_for
from merge.sources import (
    INDEX,
    WEIGHTS,
    MappedCheckpoint,
    Models,
    check_models,
    local_folder,
    stored_dtype,
    stored_tensors,
)
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


def reshard(folder: Path, *shards: list[str], places: dict[str, str] | None = None) -> None:
    """Spread a checkpoint over shards of these tensors; `places` replaces what the index says of single tensors."""
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    index = {}
    for i, names in enumerate(shards):
        file = f"model-{i}.safetensors"
        save_file({name: tensors[name] for name in names}, folder / file, metadata={"format": "pt"})
        index.update(dict.fromkeys(names, file))
    (folder / INDEX).write_text(json.dumps({"weight_map": {**index, **(places or {})}}))


def halves(folder: Path) -> tuple[list[str], list[str]]:
    names = sorted(stored_tensors(folder))
    return names[:5], names[5:]


def test_shards_that_agree_with_their_index_pass(models: Models) -> None:
    reshard(models.safe, *halves(models.safe))
    check_models(models, ROLES)


def test_a_tensor_in_two_shards(models: Models) -> None:
    first, second = halves(models.safe)
    reshard(models.safe, first, [*second, first[0]])
    assert f"tensor {first[0]} is in model-0.safetensors as well" in refusal(models)


def test_an_index_that_promises_more_than_there_is(models: Models) -> None:
    reshard(models.safe, *halves(models.safe), places={"model.more": "model-0.safetensors"})
    assert "tensor model.more is in the index and in no shard" in refusal(models)


def test_an_index_that_names_another_shard(models: Models) -> None:
    first, second = halves(models.safe)
    reshard(models.safe, first, second, places={first[0]: "model-1.safetensors"})
    assert f"tensor {first[0]} is in model-0.safetensors, the index says model-1.safetensors" in refusal(models)


def test_a_tensor_that_the_index_leaves_out(models: Models) -> None:
    first, second = halves(models.safe)
    reshard(models.safe, first, second)
    index = json.loads((models.safe / INDEX).read_text())
    del index["weight_map"][first[0]]
    (models.safe / INDEX).write_text(json.dumps(index))
    assert "the index says nothing of it" in refusal(models)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}', "{", "[" * 100_000])
def test_an_index_that_is_none(models: Models, content: str) -> None:
    (models.safe / WEIGHTS).rename(models.safe / "model-0.safetensors")
    (models.safe / INDEX).write_text(content)
    assert INDEX in refusal(models)


def test_one_file_beside_an_index_of_others(models: Models) -> None:
    # mergekit would take the index, transformers the single file
    shutil.copyfile(models.safe / WEIGHTS, models.safe / "kept")
    reshard(models.safe, *halves(models.safe))
    (models.safe / "kept").rename(models.safe / WEIGHTS)
    assert f"holds {WEIGHTS} and an index of other files; remove one" in refusal(models)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8, torch.uint8, torch.int64])
def test_weights_that_are_no_floating_point_numbers(models: Models, dtype: torch.dtype) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    change_weights(models.useful, lambda t: t.update({name: t[name].to(dtype)}))
    line = refusal(models)
    assert f"tensor {name} is quantised, or no weight" in line
    assert "merge the unquantised model" in line


def test_integer_buffers_are_no_weights(models: Models) -> None:
    for role in ROLES:
        change_weights(models.folder(role), lambda t: t.update({"model.position_ids": torch.arange(8)}))
    check_models(models, ROLES)


def test_a_quantised_checkpoint_is_named_by_its_method(models: Models) -> None:
    change_config(models.safe, quantization_config={"quant_method": "bitsandbytes"})
    assert "its weights are quantised (bitsandbytes); merge the unquantised model" in refusal(models)


def test_empty_tensors(models: Models) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    change_weights(models.useful, lambda t: t.update({name: torch.zeros(0)}))
    line = refusal(models)
    assert f"tensor {name} is empty (shape [0])" in line
    assert "ZeRO-3" in line


@pytest.mark.parametrize("content", ["[]", '"text"', "3", "{", "\ud800", "[" * 100_000])
def test_a_config_that_is_none(models: Models, content: str) -> None:
    (models.useful / "config.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    assert "useful/config.json: " in refusal(models)


@pytest.mark.parametrize("place", ["useful", "useful/model.safetensors", "useful/config.json"])
def test_links_that_go_in_a_circle(models: Models, place: str) -> None:
    path = models.base.parent / place
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    path.symlink_to(path)
    assert "useful" in refusal(models)


def test_code_runs_only_where_the_recipe_says_so(models: Models) -> None:
    for role in ROLES:
        change_config(models.folder(role), auto_map={"AutoModel": "x.Y"})
    line = refusal(models)
    assert "base/config.json: wants to run code of its own (auto_map)" in line
    assert "merge.trust_remote_code" in line
    check_models(replace(models, trust_remote_code=True), ROLES)


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


@pytest.mark.parametrize(("name", "why"), [("owner/none", "cannot be reached"), ("a/b/c", "no name that the Hub")])
def test_why_the_hub_gives_no_model_is_said_in_words(name: str, why: str) -> None:
    with pytest.raises(CheckpointError, match=why) as caught:
        local_folder(name)
    assert "Error" not in caught.value.line()
