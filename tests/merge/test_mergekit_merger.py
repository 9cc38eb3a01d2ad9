"""The slow path: the very tensors that the stock command saves, and an orderly end however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from merge.identity import kernel_level
from merge.mergekit_merger import MergekitMerger
from merge.merger import open_merger
from merge.points import MergePoint
from merge.sources import Models, stored_tensors
from mergescope.ground.errors import CheckpointError, MergescopeError
from tests.merge.conftest import World, a_point
from tests.merge.test_blend import assert_same_bits

GRADIENT = (Decimal("0.2"), Decimal(1), Decimal("0.5"))
TIES = a_point("0.3", method="ties", useful="0.3")
SETTINGS: list[Any] = [
    pytest.param({"method": "ties", "mode": "additive", "safe": "0.9", "useful": "0.2"}, id="ties-additive"),
    pytest.param({"method": "ties", "mode": "into-useful", "lambda_": "0.7"}, id="ties-into-useful"),
    pytest.param({"method": "ties", "rescale": True, "normalize": True}, id="ties-rescaled-normalized"),
    pytest.param({"method": "dare_linear", "safe": "0.5", "useful": "0.2"}, id="dare_linear"),
    pytest.param({"method": "task_arithmetic", "safe": "1", "useful": "1", "lambda_": "-1.5"}, id="task_arithmetic"),
    pytest.param({"method": "linear", "safe": "1", "useful": "1", "rescale": False}, id="linear"),
    pytest.param({"method": "slerp", "safe": "1", "useful": "1", "rescale": False}, id="slerp"),
    pytest.param({"method": "della", "safe": "0.6", "useful": "0.2"}, id="della"),
    pytest.param({"normalize": True, "useful": "0.3"}, id="dare_ties-normalized"),
    pytest.param({"int8_mask": True, "useful": "0.3"}, id="dare_ties-int8_mask"),
    pytest.param({"gradient": GRADIENT, "useful": "0.3"}, id="dare_ties-gradient"),
    pytest.param({"method": "slerp", "gradient": GRADIENT, "rescale": False}, id="slerp-gradient"),
    pytest.param({"method": "linear", "gradient": GRADIENT, "rescale": False}, id="linear-gradient"),
]


def check(world: World, point: MergePoint, stock: Callable[..., Path], study: Path, threads: int = 1) -> None:
    merger = open_merger(study, point, world.models, threads=threads)
    assert merger.made.way == "mergekit"
    assert_same_bits(dict(merger.blend(point)), stock(world, point, threads=threads, level=kernel_level()))


@pytest.mark.deep
def test_ties_equals_stock(demo_world: World, stock: Callable[..., Path], tmp_path: Path) -> None:
    check(demo_world, TIES, stock, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.deep
@pytest.mark.parametrize("setting", SETTINGS)
def test_every_method_equals_stock(
    worlds: Callable[..., World], stock: Callable[..., Path], tmp_path: Path, setting: dict[str, Any]
) -> None:
    check(worlds(dtype="bfloat16"), a_point("0.35", **setting), stock, tmp_path)


@pytest.mark.deep
@pytest.mark.parametrize("method", ["della", "slerp"])
def test_two_threads_equal_stock(
    worlds: Callable[..., World], stock: Callable[..., Path], tmp_path: Path, method: Any
) -> None:
    point = a_point("0.6", method=method)
    check(worlds("demo", tied=True), point, stock, tmp_path, threads=2)


@pytest.mark.deep
@pytest.mark.parametrize("family", ["qwen3_moe", "gemma2"])
def test_architectures_equal_stock(
    worlds: Callable[..., World], stock: Callable[..., Path], tmp_path: Path, family: str
) -> None:
    check(worlds(family, dtype="bfloat16"), a_point("0.4", method="dare_linear", useful="0.3"), stock, tmp_path)


def children() -> set[str]:
    """Processes that this one started and that are not gone, zombies among them."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split())


@pytest.fixture
def merger(demo_world: World) -> MergekitMerger:
    return MergekitMerger(TIES, demo_world.models, threads=1)


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process and no file is left, however a merge ends."""
    before, rooms = children(), tmp_path_factory.mktemp("rooms")
    monkeypatch.setattr(tempfile, "tempdir", str(rooms))
    yield
    assert children() <= before
    assert not list(rooms.glob("tmp*"))


@pytest.mark.deep
def test_closing_early_ends_mergekit(merger: MergekitMerger) -> None:
    tensors = merger.blend(TIES)
    name, _ = next(tensors)
    assert name
    assert children()
    tensors.close()


@pytest.mark.deep
def test_a_killed_process_is_told_in_one_line(merger: MergekitMerger) -> None:
    before = children()
    tensors = merger.blend(TIES)
    next(tensors)
    (pid,) = children() - before
    os.kill(int(pid), signal.SIGKILL)
    with pytest.raises(MergescopeError, match="ended from outside by SIGKILL; if memory ran out"):
        list(tensors)


def test_another_setting_needs_another_merger(merger: MergekitMerger) -> None:
    with pytest.raises(MergescopeError, match="another setting"):
        next(merger.blend(replace(TIES, density_safe=Decimal("0.9"))))


def test_models_that_do_not_fit_are_refused_when_opened(demo_world: World, worlds: Callable[..., World]) -> None:
    models = replace(demo_world.models, safe=worlds(dtype="bfloat16").models.safe)
    with pytest.raises(CheckpointError, match="head_dim is 16, but 32"):
        MergekitMerger(TIES, models, threads=1)


@pytest.mark.deep
def test_what_mergekit_refuses_is_refused_by_name(worlds: Callable[..., World]) -> None:
    models = worlds("gpt_neox").models
    with pytest.raises(CheckpointError, match="mergekit cannot merge GPTNeoXForCausalLM") as refusal:
        next(MergekitMerger(TIES, models, threads=1).blend(TIES))
    assert refusal.value.where is not None


def spoilt(models: Models, folder: Path, value: float) -> Models:
    """The models with `value` all over one row of one of model-safe's tensors."""
    shutil.copytree(models.safe, folder / "safe")
    file = folder / "safe" / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.1.mlp.up_proj.weight"][3] = value
    save_file(tensors, file, metadata={"format": "pt"})
    return replace(models, safe=folder / "safe")


@pytest.mark.deep
@pytest.mark.parametrize(
    ("method", "value"), [("ties", float("nan")), ("slerp", float("inf")), ("della", float("nan"))]
)
def test_what_is_not_finite_is_refused_by_name(demo_world: World, tmp_path: Path, method: Any, value: float) -> None:
    models, point = spoilt(demo_world.models, tmp_path, value), a_point(method=method)
    with pytest.raises(CheckpointError, match=r"layers\.1\.mlp\.up_proj\.weight holds NaN or inf") as refusal:
        list(MergekitMerger(point, models, threads=1).blend(point))
    assert refusal.value.where == models.safe


@pytest.mark.deep
def test_sums_beyond_float32_are_refused(demo_world: World, tmp_path: Path) -> None:
    models, point = spoilt(demo_world.models, tmp_path, 1e38), a_point(method="dare_linear")
    with pytest.raises(CheckpointError, match=r"up_proj\.weight overflows float32 when merged"):
        list(MergekitMerger(point, models, threads=1).blend(point))


def test_its_size_is_told_beforehand(merger: MergekitMerger, demo_world: World) -> None:
    size = sum(tensor.numel for tensor in stored_tensors(demo_world.models.base).values())
    assert merger.output_bytes == 4 * size
    assert merger.draw() is None


def test_mixing_methods_do_not_read_the_base(demo_world: World, tmp_path: Path) -> None:
    models = Models(tmp_path / "none", demo_world.models.safe, demo_world.models.useful)
    assert list(MergekitMerger(a_point(method="slerp"), models, threads=1).made.inputs) == ["useful", "safe"]
