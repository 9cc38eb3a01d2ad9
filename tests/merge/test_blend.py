"""The promise: blended weights are the stock command's, bit for bit."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from merge.blend import Blender
from merge.identity import kernel_level
from merge.kernel import blend_eager
from merge.masks import masks_for
from merge.materialize import write_shards
from merge.points import MergePoint, Role
from merge.sources import Models
from mergescope.ground.errors import CheckpointError, MergescopeError
from tests.merge.conftest import DEMO_POINT, World, a_point, build_models

INTEGERS = {torch.float32: torch.int32, torch.bfloat16: torch.int16, torch.float16: torch.int16}


def assert_same_bits(ours: dict[str, torch.Tensor], folder: Path) -> None:
    """Same names, shapes, dtypes and bits as the checkpoint in `folder`; floats compared as integers."""
    theirs = load_file(folder / "model.safetensors")
    assert set(ours) == set(theirs)
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype, name
        assert ours[name].shape == tensor.shape, name
        kind = INTEGERS[tensor.dtype]
        different = (ours[name].view(kind) != tensor.view(kind)).sum()
        assert different == 0, f"{name}: {different} of {tensor.numel()} differ"


def blended(tmp_path: Path, world: World, point: MergePoint, threads: int = 1) -> dict[str, torch.Tensor]:
    masks = masks_for(tmp_path, point, world.models, threads=threads)
    models = world.models
    return dict(Blender(models.base, models.safe, models.useful, masks).blend(point))


ROLES: tuple[Role, ...] = ("base", "safe", "useful")
DEMO = {"family": "demo", "tied": True}
QUICK = [
    pytest.param(DEMO, {"ratio": "0", "safe": "0.5", "useful": "0.3"}, id="demo-0", marks=pytest.mark.deep),
    pytest.param(DEMO, {"ratio": "0.3", "safe": "0.5", "useful": "0.3"}, id="demo-0.3"),
    pytest.param(DEMO, {"ratio": "1", "safe": "0.5", "useful": "0.3"}, id="demo-1", marks=pytest.mark.deep),
    pytest.param({"dtype": "bfloat16"}, {"mode": "into-useful", "lambda_": "1.3", "safe": "0.7"}, id="into-useful"),
]
MATRIX = [
    pytest.param(
        {"tied": tied, "dtype": dtype},
        {"mode": mode, "safe": safe, "useful": useful, "ratio": ratio, "lambda_": lambda_},
        id=f"{mode}-{dtype}-{'tied' if tied else 'untied'}-{ratio}",
    )
    for tied, dtype, ratio, (safe, useful), lambda_ in [
        (False, "float32", "0", ("0.5", "0.5"), "1"),
        (False, "bfloat16", "0.45", ("0.9", "0.2"), "0.7"),
        (True, "float32", "1", ("1", "1"), "1"),
        (True, "bfloat16", "0.123456", ("0.1", "1"), "-1.5"),
        (False, "float16", "0.95", ("0.53", "0.47"), "1"),
    ]
    for mode in ("complementary", "additive", "into-useful")
]
MATRIX.append(pytest.param({"dtype": "bfloat16"}, {"rescale": False, "useful": "0.3"}, id="not-rescaled"))
OTHERS = [
    pytest.param({"family": family, "dtype": "bfloat16"}, {"ratio": "0.4", "useful": "0.3"}, id=family)
    for family in ("qwen2", "qwen3", "gemma2", "gemma3", "mistral", "phi3", "olmo2", "mixtral", "qwen3_moe")
]


def check(
    tmp_path: Path,
    worlds: Callable[..., World],
    stock: Callable[..., Path],
    kind: dict[str, Any],
    setting: dict[str, Any],
) -> None:
    world, point = worlds(**kind), a_point(**setting)
    assert_same_bits(blended(tmp_path, world, point), stock(world, point, level=kernel_level()))


@pytest.mark.parametrize(("kind", "setting"), QUICK)
def test_blend_equals_stock(
    shared_masks: Path,
    worlds: Callable[..., World],
    stock: Callable[..., Path],
    kind: dict[str, Any],
    setting: dict[str, Any],
) -> None:
    check(shared_masks, worlds, stock, kind, setting)


@pytest.mark.deep
@pytest.mark.parametrize(("kind", "setting"), MATRIX)
def test_matrix_equals_stock(
    shared_masks: Path,
    worlds: Callable[..., World],
    stock: Callable[..., Path],
    kind: dict[str, Any],
    setting: dict[str, Any],
) -> None:
    check(shared_masks, worlds, stock, kind, setting)


@pytest.mark.deep
@pytest.mark.parametrize(("kind", "setting"), OTHERS)
def test_architectures_equal_stock(
    shared_masks: Path,
    worlds: Callable[..., World],
    stock: Callable[..., Path],
    kind: dict[str, Any],
    setting: dict[str, Any],
) -> None:
    check(shared_masks, worlds, stock, kind, setting)


def sharded(models: Models) -> None:
    """Every model in several files."""
    for role in ROLES:
        tensors = load_file(models.folder(role) / "model.safetensors")
        (models.folder(role) / "model.safetensors").unlink()
        write_shards(tensors.items(), models.folder(role), limit=100_000)


def mixed(models: Models) -> None:
    """model-safe in bfloat16, model-useful half and half, the base in float32."""
    for role, every in (("safe", 1), ("useful", 2)):
        file = models.folder(role) / "model.safetensors"
        tensors = load_file(file)
        narrow = {n: t.bfloat16() if i % every == 0 else t for i, (n, t) in enumerate(tensors.items())}
        save_file(narrow, file, metadata={"format": "pt"})


def one_stored_head(models: Models) -> None:
    """Tied weights, and model-useful's file holds the head all the same."""
    file = models.useful / "model.safetensors"
    tensors = load_file(file)
    save_file(
        {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].clone()}, file, metadata={"format": "pt"}
    )


@pytest.mark.deep
@pytest.mark.parametrize("store", [sharded, mixed, one_stored_head])
def test_however_the_inputs_are_stored(
    tmp_path: Path, stock: Callable[..., Path], store: Callable[[Models], None]
) -> None:
    world, point = build_models(tmp_path, tied=store is one_stored_head), a_point("0.35", useful="0.4")
    store(world.models)
    assert_same_bits(blended(tmp_path, world, point), stock(world, point, level=kernel_level()))


@pytest.mark.deep
def test_two_threads_equal_stock(shared_masks: Path, worlds: Callable[..., World], stock: Callable[..., Path]) -> None:
    world, point = worlds(**DEMO), a_point("0.6")
    ours = blended(shared_masks, world, point, threads=2)
    assert_same_bits(ours, stock(world, point, threads=2, level=kernel_level()))


@pytest.mark.deep
def test_what_mergekit_refuses_is_refused_by_name(tmp_path: Path, worlds: Callable[..., World]) -> None:
    with pytest.raises(CheckpointError, match="mergekit cannot merge GPTNeoXForCausalLM"):
        masks_for(tmp_path, a_point(), worlds("gpt_neox").models, threads=1)


def test_without_a_compiler_one_line_says_so(
    shared_masks: Path,
    worlds: Callable[..., World],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    models = worlds(**DEMO).models
    masks = masks_for(shared_masks, DEMO_POINT, models, threads=1)
    monkeypatch.setattr("merge.blend.native", lambda: None)
    capsys.readouterr()
    assert Blender(models.base, models.safe, models.useful, masks).device.kernel is blend_eager
    assert capsys.readouterr().err.count("\n") == 1
    with pytest.raises(MergescopeError, match="no C compiler builds"):
        Blender(models.base, models.safe, models.useful, masks, kernel="compiled")


@pytest.mark.parametrize("compiler", ["none", "false"])
def test_a_compiler_that_is_missing_or_fails_is_noticed(tmp_path: Path, compiler: str) -> None:
    code = "from merge.native import native; print(native())"
    environment = {**os.environ, "CC": compiler, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "None"
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_library_is_built_again(tmp_path: Path) -> None:
    code = "from merge.native import native; print(native() is not None)"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "CC": "gcc -m64"}
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "True"
        (library,) = tmp_path.rglob("native-*.so")
        library.write_bytes(b"")  # as a power cut leaves it


def test_compiled_blend_has_the_same_bits(shared_masks: Path, worlds: Callable[..., World]) -> None:
    models = worlds(**DEMO).models
    masks = masks_for(shared_masks, DEMO_POINT, models, threads=1)
    eager, compiled = (
        Blender(models.base, models.safe, models.useful, masks, kernel=kernel) for kernel in ("eager", "compiled")
    )
    assert compiled.device.kernel is not blend_eager
    for (name, one), (_, other) in zip(eager.blend(DEMO_POINT), compiled.blend(DEMO_POINT), strict=True):
        assert torch.equal(one.view(torch.int32), other.view(torch.int32)), name


def test_many_points_at_once_are_the_points_one_by_one(shared_masks: Path, worlds: Callable[..., World]) -> None:
    models = worlds(**DEMO).models
    masks = masks_for(shared_masks, DEMO_POINT, models, threads=1)
    blender = Blender(models.base, models.safe, models.useful, masks)
    points = [replace(DEMO_POINT, ratio=Decimal(r)) for r in ("0", "0.4", "1")]
    singles = [dict(blender.blend(point)) for point in points]
    for name, tensors in blender.blend_many(points):
        for single, tensor in zip(singles, tensors, strict=True):
            assert torch.equal(single[name].view(torch.int32), tensor.view(torch.int32)), name


def test_a_merge_fills_the_caller_s_tensors_where_they_fit(shared_masks: Path, worlds: Callable[..., World]) -> None:
    models = worlds(**DEMO).models
    masks = masks_for(shared_masks, DEMO_POINT, models, threads=1)
    blender = Blender(models.base, models.safe, models.useful, masks)
    wanted = dict(blender.blend(DEMO_POINT))
    places = {name: torch.full_like(tensor, 7) for name, tensor in wanted.items()}
    places["model.norm.weight"] = places["model.norm.weight"].double()
    across = "model.layers.0.self_attn.q_proj.weight"
    places[across] = places[across].t()
    for name, tensor in blender.blend(DEMO_POINT, places):
        fits = name not in ("model.norm.weight", across)
        assert (tensor.data_ptr() == places[name].data_ptr()) == fits, name
        assert torch.equal(tensor.view(torch.int32), wanted[name].view(torch.int32)), name
