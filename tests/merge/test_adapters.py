"""Base + adapter: merged once by peft, checked against the formula, and refused where it cannot be merged."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from merge.adapt import RefusedError, merge_into
from merge.adapters import adapt, adapted
from merge.blend import Blender
from merge.identity import kernel_level, weights_hash
from merge.masks import masks_for
from merge.sources import Models
from mergescope.ground.errors import CheckpointError
from mergescope.ground.progress import Reporter
from tests.merge.adapters import write_adapter
from tests.merge.conftest import World, a_point
from tests.merge.test_blend import assert_same_bits

WEIGHTS = "model.safetensors"


@pytest.fixture
def base(worlds: Callable[..., World]) -> Path:
    return worlds().models.base


@pytest.fixture(scope="session")
def made_adapter(worlds: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(worlds().models.base, tmp_path_factory.mktemp("adapter") / "lora")


@pytest.fixture
def adapter(made_adapter: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(made_adapter, tmp_path / "lora")
    return tmp_path / "lora"


def change_settings(adapter: Path, **values: object) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def change_weights(adapter: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(adapter / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, adapter / "adapter_model.safetensors")


def refusal(base: Path, adapter: Path, inputs: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        adapted(inputs, base, adapter)
    assert "\n" not in caught.value.line()
    assert not inputs.exists() or not list(inputs.iterdir())
    return caught.value.line()


@pytest.mark.deep
def test_weights_are_the_base_plus_scaled_product(base: Path, adapter: Path, tmp_path: Path) -> None:
    before, after = load_file(base / WEIGHTS), load_file(adapted(tmp_path / "inputs", base, adapter) / WEIGHTS)
    factors = load_file(adapter / "adapter_model.safetensors")
    assert list(after) == list(before)
    tuned = 0
    for name, weight in before.items():
        factor = f"base_model.model.{name.removesuffix('.weight')}.lora_"
        if f"{factor}A.weight" not in factors:
            assert after[name].equal(weight), name
            continue
        tuned += 1
        b, a = (factors[f"{factor}{side}.weight"].double() for side in "BA")
        wanted = weight.double() + 6 / 4 * (b @ a)
        torch.testing.assert_close(after[name].double(), wanted, rtol=1e-6, atol=1e-8)
        assert not after[name].equal(weight)
    assert tuned == 2 * 2


@pytest.mark.deep
def test_merged_once_and_again_to_the_same_bytes(base: Path, adapter: Path, tmp_path: Path) -> None:
    folder = adapted(tmp_path / "inputs", base, adapter)
    before = (folder / WEIGHTS).stat()
    shutil.copytree(adapter, tmp_path / "elsewhere")
    assert adapted(tmp_path / "inputs", base, tmp_path / "elsewhere") == folder
    assert (folder / WEIGHTS).stat() == before
    manifest = adapt(base, adapter, tmp_path / "again")
    assert manifest["weights_sha256"] == weights_hash(folder) == weights_hash(tmp_path / "again")
    assert set(manifest["adapter"]) == {"adapter_config.json", "adapter_model.safetensors"}


def test_code_in_the_user_s_folder_is_not_run(
    base: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "peft.py").write_text("from pathlib import Path; Path('ran').touch(); raise SystemExit(3)")
    shutil.copytree(base, there / "base")
    adapter.rename(there / "lora")
    monkeypatch.chdir(there)
    folder = adapted(Path("inputs"), Path("base"), Path("lora"))
    assert (folder / WEIGHTS).is_file()
    assert not (there / "ran").exists()


@pytest.mark.deep
def test_damaged_weights_are_made_again(base: Path, adapter: Path, tmp_path: Path) -> None:
    folder = adapted(tmp_path / "inputs", base, adapter)
    good = weights_hash(folder)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    assert weights_hash(adapted(tmp_path / "inputs", base, adapter)) == good
    (folder / WEIGHTS).unlink()
    assert weights_hash(adapted(tmp_path / "inputs", base, adapter)) == good


@pytest.mark.deep
def test_another_adapter_is_another_folder(base: Path, adapter: Path, tmp_path: Path) -> None:
    first = adapted(tmp_path / "inputs", base, adapter)
    change_settings(adapter, lora_alpha=7)
    second = adapted(tmp_path / "inputs", base, adapter)
    assert first != second
    assert weights_hash(first) != weights_hash(second)


@pytest.mark.deep
def test_weights_are_stored_as_the_base_stores_them(worlds: Callable[..., World], tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(worlds(dtype="bfloat16").models.base, base)
    tensors = load_file(base / WEIGHTS)
    wide = {n: t.float() if n.endswith("norm.weight") else t for n, t in tensors.items()}
    save_file(wide, base / WEIGHTS, metadata={"format": "pt"})
    adapter = write_adapter(base, tmp_path / "lora")
    after = load_file(adapted(tmp_path / "inputs", base, adapter) / WEIGHTS)
    assert {n: t.dtype for n, t in after.items()} == {n: t.dtype for n, t in wide.items()}


@pytest.mark.deep
def test_whole_modules_and_tied_embeddings(worlds: Callable[..., World], tmp_path: Path) -> None:
    base = worlds("demo", tied=True).models.base
    adapter = write_adapter(base, tmp_path / "lora", modules_to_save=["norm"])
    after = load_file(adapted(tmp_path / "inputs", base, adapter) / WEIGHTS)
    whole = load_file(adapter / "adapter_model.safetensors")["base_model.model.model.norm.weight"]
    assert after["model.norm.weight"].equal(whole)
    assert set(after) == set(load_file(base / WEIGHTS))


@pytest.mark.deep
def test_blend_of_two_adapters_equals_stock(
    worlds: Callable[..., World], stock: Callable[..., Path], tmp_path: Path
) -> None:
    base = worlds("demo", tied=True, dtype="bfloat16").models.base
    tuned = [
        adapted(tmp_path / "inputs", base, write_adapter(base, tmp_path / f"lora-{seed}", seed=seed)) for seed in (1, 2)
    ]
    world, point = World(Models(base, *tuned), "bfloat16"), a_point("0.45", useful="0.3")
    masks = masks_for(tmp_path, point, world.models, threads=1)
    ours = dict(Blender(base, *tuned, masks).blend(point))
    assert_same_bits(ours, stock(world, point, level=kernel_level()))
    moved = "model.layers.0.self_attn.q_proj.weight"
    assert not ours[moved].equal(load_file(base / WEIGHTS)[moved])


@pytest.mark.deep
def test_tokenizer_and_template_are_the_adapter_s_where_it_has_them(base: Path, adapter: Path, tmp_path: Path) -> None:
    own = tmp_path / "base"
    shutil.copytree(base, own)
    (own / "tokenizer.json").write_text('{"of": "base"}')
    (own / "chat_template.jinja").write_text("of the base")
    plain = adapted(tmp_path / "inputs", own, adapter)
    assert (plain / "tokenizer.json").read_text() == '{"of": "base"}'
    assert (plain / "chat_template.jinja").read_text() == "of the base"
    (adapter / "tokenizer.json").write_text('{"of": "adapter"}')
    (adapter / "tokenizer_config.json").write_text('{"chat_template": "of the adapter"}')
    other = adapted(tmp_path / "inputs", own, adapter)
    assert other != plain
    assert (other / "tokenizer.json").read_text() == '{"of": "adapter"}'
    assert (other / "chat_template.jinja").read_text() == "of the adapter"
    assert (other / "config.json").read_bytes() == (own / "config.json").read_bytes()


@pytest.mark.deep
def test_a_kill_leaves_nothing_that_is_believed(base: Path, adapter: Path, tmp_path: Path) -> None:
    inputs = tmp_path / "inputs"
    code = "import sys; from pathlib import Path; from merge.adapters import adapted; adapted(*map(Path, sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(inputs), str(base), str(adapter)]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(inputs.glob(".*.part")):
            assert time.monotonic() < deadline
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    assert not [folder for folder in inputs.iterdir() if not folder.name.startswith(".")]
    folder = adapted(inputs, base, adapter)
    assert list(inputs.iterdir()) == [folder]


@pytest.mark.deep
def test_progress_counts_tensors(base: Path, adapter: Path, tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    adapted(tmp_path / "inputs", base, adapter, Reporter(file=file))
    progress = json.loads(file.read_text())
    assert progress["task"] == "merging base + lora"
    assert progress["done"] == progress["total"] == len(load_file(base / WEIGHTS))


def test_no_adapter(base: Path, adapter: Path, tmp_path: Path) -> None:
    assert "holds no adapter_config.json" in refusal(base, base, tmp_path / "inputs")
    (adapter / "adapter_config.json").write_text("[]")
    assert "a JSON object belongs" in refusal(base, adapter, tmp_path / "inputs")
    (adapter / "adapter_config.json").write_text("{}")
    assert "names no peft_type" in refusal(base, adapter, tmp_path / "inputs")


def test_pickled_adapters_are_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    line = refusal(base, adapter, tmp_path / "inputs")
    assert "pickled" in line
    assert "adapter_model.bin" in line
    (adapter / "adapter_model.bin").unlink()
    assert "holds no adapter_model.safetensors" in refusal(base, adapter, tmp_path / "inputs")


def test_an_adapter_of_another_shape_names_tensor_and_both_shapes(
    worlds: Callable[..., World], adapter: Path, tmp_path: Path
) -> None:
    line = refusal(worlds("demo", tied=True).models.base, adapter, tmp_path / "inputs")
    assert "down_proj.lora_A.weight has shape [4, 96], which does not fit [128, 352]" in line
    assert "name the base that it was tuned on" in line


def test_an_adapter_of_another_architecture(worlds: Callable[..., World], adapter: Path, tmp_path: Path) -> None:
    # Phi-3 has one tensor for query, key and value: down_proj fits, and there is no q_proj
    with pytest.raises(RefusedError, match=r"tunes .*q_proj.*, which the base does not have"):
        merge_into(worlds("phi3").models.base, adapter, tmp_path)


def test_an_adapter_that_resizes_the_vocabulary(base: Path, tmp_path: Path) -> None:
    adapter = write_adapter(base, tmp_path / "lora", modules_to_save=["embed_tokens", "lm_head"])

    def resize(tensors: dict[str, torch.Tensor]) -> None:
        for name in [n for n in tensors if "embed_tokens" in n or "lm_head" in n]:
            tensors[name] = torch.cat([tensors[name], tensors[name][:8]])

    change_weights(adapter, resize)
    line = refusal(base, adapter, tmp_path / "inputs")
    assert "[1008, 64]" in line
    assert "[1000, 64]" in line
    assert "resizes the vocabulary" in line


def test_a_head_tuned_apart_from_a_tied_embedding(worlds: Callable[..., World], tmp_path: Path) -> None:
    base = worlds("demo", tied=True).models.base
    adapter = write_adapter(base, tmp_path / "lora", modules_to_save=["lm_head"])
    with pytest.raises(RefusedError, match="the base ties the two"):
        merge_into(base, adapter, tmp_path)


def drop_one(tensors: dict[str, torch.Tensor]) -> None:
    tensors.pop(next(name for name in tensors if "lora_B" in name))


def zero(tensors: dict[str, torch.Tensor]) -> None:
    for name in tensors:
        tensors[name] *= "lora_A" in name


def not_a_number(tensors: dict[str, torch.Tensor]) -> None:
    next(iter(tensors.values())).fill_(float("nan"))


@pytest.mark.parametrize(
    ("change", "part"),
    [(drop_one, r"lacks .*lora_B"), (zero, "changes no tensor of the base"), (not_a_number, "NaNs detected")],
)
def test_incomplete_untrained_and_broken_adapters(
    base: Path, adapter: Path, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], None], part: str
) -> None:
    change_weights(adapter, change)
    with pytest.raises(RefusedError, match=part):
        merge_into(base, adapter, tmp_path)


PROMPT_TUNING = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4, "task_type": "CAUSAL_LM"}


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (PROMPT_TUNING, "a PROMPT_TUNING adapter changes prompts"),
        ({"peft_type": "NEW"}, "does not know such an adapter"),
    ],
)
@pytest.mark.deep
def test_types_that_cannot_be_merged(
    base: Path, adapter: Path, tmp_path: Path, settings: dict[str, Any], part: str
) -> None:
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    assert part in refusal(base, adapter, tmp_path / "inputs")


def test_a_base_with_code_of_its_own(base: Path, adapter: Path, tmp_path: Path) -> None:
    own = tmp_path / "base"
    shutil.copytree(base, own)
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "x.Y"}}))
    assert "run code of their own" in refusal(own, adapter, tmp_path / "inputs")


@pytest.mark.deep
def test_another_cpu_gives_the_same_weights(
    worlds: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = worlds("demo", tied=True).models.base
    adapter = write_adapter(base, tmp_path / "lora", r=64, use_dora=True)
    here = adapt(base, adapter, tmp_path / "here")["weights_sha256"]
    monkeypatch.setenv("MKL_ENABLE_INSTRUCTIONS", "SSE4_2")  # as on a CPU that has no more
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert adapt(base, adapter, tmp_path / "there")["weights_sha256"] == here
