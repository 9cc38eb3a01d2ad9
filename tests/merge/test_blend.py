"""The promise: blended weights are the stock command's, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from merge.blend import Blender
from merge.identity import kernel_level
from merge.masks import masks_for
from merge.points import MergePoint
from tests.merge.conftest import World, a_point

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


CASES = [
    ({"ratio": "0.3"}, {}),
]


@pytest.mark.parametrize(("setting", "kind"), CASES)
def test_equals_stock(
    tmp_path: Path,
    worlds: Callable[..., World],
    stock: Callable[..., Path],
    setting: dict[str, str],
    kind: dict[str, object],
) -> None:
    world, point = worlds(**kind), a_point(**setting)
    assert_same_bits(blended(tmp_path, world, point), stock(world, point, level=kernel_level()))
