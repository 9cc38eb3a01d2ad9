"""The blend's GPU form: its bits on any device that is here, and the ways in which inputs reach it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from merge.blend import Blender
from merge.gpu import Gpu, Keep, _workers, gpu_blend
from merge.masks import masks_for
from mergescope.ground.errors import MergescopeError
from tests.merge.conftest import DEMO_POINT, World

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")


@pytest.mark.deep
@pytest.mark.skipif(" " in sys.prefix, reason="torch.compile cannot link beside a folder with a space")
def test_the_fused_form_has_the_eager_bits_on_the_cpu() -> None:
    gpu_blend(torch.device("cpu"))  # raises where a bit differs


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_a_missing_device_is_one_line() -> None:
    with pytest.raises(MergescopeError, match="no CUDA device"):
        Gpu()


@needs_cuda
@pytest.mark.parametrize("keep", ["mapped", "pinned", "device"])
def test_a_gpu_s_merge_has_the_cpu_s_bits(shared_masks: Path, demo_world: World, keep: Keep) -> None:
    models = demo_world.models
    masks = masks_for(shared_masks, DEMO_POINT, models, threads=1)
    here = Blender(models.base, models.safe, models.useful, masks)
    there = Blender(models.base, models.safe, models.useful, masks, device=Gpu(keep=keep))
    for _ in range(2):
        for (name, one), (_, other) in zip(here.blend(DEMO_POINT), there.blend(DEMO_POINT), strict=True):
            assert other.is_cuda
            assert torch.equal(one.view(torch.int32), other.cpu().view(torch.int32)), name


def test_workers_that_blend_at_once_share_the_memory_for_pinned_copies() -> None:
    from torch.testing._internal.distributed.fake_pg import FakeStore

    assert _workers() == 1
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=4)
    try:
        assert _workers() == 4
    finally:
        torch.distributed.destroy_process_group()
