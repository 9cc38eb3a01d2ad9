"""Bit planes and the draw that fills them."""

from __future__ import annotations

import pytest
import torch

from merge.planes import BLOCK, WIDTH, pack, plane_bytes, unpack


@pytest.mark.parametrize("count", [1, 7, 8, WIDTH, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 17])
def test_unpacking_gives_back_what_was_packed(count: int) -> None:
    mask = torch.rand(count, generator=torch.Generator().manual_seed(count)) < 0.5
    plane = pack(mask)
    assert plane.numel() == plane_bytes(count)
    assert torch.equal(unpack(plane, count), mask)


def test_a_bit_lies_where_the_layout_says() -> None:
    mask = torch.zeros(2 * BLOCK, dtype=torch.bool)
    mask[BLOCK + 3 * WIDTH + 5] = True  # block 1, bit 3, byte 5
    plane = pack(mask)
    assert plane[WIDTH + 5] == 1 << 3
    assert plane.count_nonzero() == 1


def test_two_bits_a_parameter_at_most() -> None:
    assert 2 * plane_bytes(100 * BLOCK) * 8 == 2 * 100 * BLOCK


@pytest.mark.parametrize("density", [0.1, 0.53, 0.99, 0.000001])
@pytest.mark.parametrize("shape", [(1,), (5,), (15,), (16,), (17,), (129, 257), (3, 100_003)])
def test_the_fast_draw_is_mergekits(shape: tuple[int, ...], density: float) -> None:
    # The draw itself lives in a module that imports mergekit; this is its one claim about torch.
    torch.manual_seed(9)
    stock = torch.bernoulli(torch.full(shape, density))
    state = torch.get_rng_state()
    torch.manual_seed(9)
    ours = torch.rand(shape) < density
    assert torch.equal(ours, stock > 0)
    assert torch.equal(torch.get_rng_state(), state)
