"""Memory that is used again, and only once its holder has let go of it."""

from __future__ import annotations

import gc

import pytest
import torch

from merge.arena import SMALL, Arena

SHAPE = (SMALL // 4, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_tensor_like_any_other(dtype: torch.dtype) -> None:
    tensor = Arena(2).empty(SHAPE, dtype)
    tensor.copy_(torch.ones(SHAPE))
    assert tensor.shape == SHAPE
    assert tensor.dtype == dtype
    assert tensor.is_contiguous()
    assert float(tensor.sum(dtype=torch.float64)) == tensor.numel()


def test_dropped_memory_is_used_again_and_held_memory_is_not() -> None:
    arena = Arena(2)
    first = arena.empty(SHAPE, torch.float32)
    second = arena.empty(SHAPE, torch.float32)
    assert first.data_ptr() != second.data_ptr()
    place = first.data_ptr()
    del first
    assert arena.empty(SHAPE, torch.float32).data_ptr() == place


def test_a_view_keeps_its_memory() -> None:
    arena = Arena(2)
    whole = arena.empty(SHAPE, torch.float32).fill_(1)
    part, place = whole[1:3].t(), whole.data_ptr()
    del whole
    gc.collect()
    other = arena.empty(SHAPE, torch.float32).fill_(2)
    assert other.data_ptr() != place
    assert float(part.sum()) == 6


def test_few_free_blocks_are_kept() -> None:
    arena = Arena(2)
    many = [arena.empty(SHAPE, torch.float32) for _ in range(5)]
    many.clear()
    assert sum(len(free) for free in arena._free.values()) == 2


def test_nothing_of_no_size() -> None:
    assert Arena(2).empty((0, 7), torch.float32).shape == (0, 7)
