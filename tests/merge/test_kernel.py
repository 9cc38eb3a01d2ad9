"""The arithmetic against a plain statement of it, and the compiled form against the eager one."""

from __future__ import annotations

import pytest
import torch

from merge.kernel import Kernel, TermTensors, blend_eager, compiled_blend, factors_of
from merge.native import Native, native
from merge.planes import BLOCK, WIDTH, pack


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)


def weights(count: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A base and two fine-tunes in which every combination of signs and zeros occurs."""
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(count, generator=generator)
    safe, useful = (base + 0.1 * torch.randn(count, generator=generator) for _ in range(2))
    base[::4] = -0.0
    safe[::8] = 0.0
    safe[4::16] = -0.0
    useful[::12] = -0.0
    return base.to(dtype), safe.to(dtype), useful.to(dtype)


def terms_of(count: int, dtype: torch.dtype) -> tuple[torch.Tensor, list[TermTensors]]:
    base, safe, useful = weights(count, dtype)
    generator = torch.Generator().manual_seed(2)
    planes = [pack(torch.rand(count, generator=generator) < density) for density in (0.5, 0.3)]
    return base, [TermTensors(safe, planes[0], 1.9875), TermTensors(useful, planes[1], 3.3)]


def test_four_entries_by_hand() -> None:
    # base 1; task vectors (safe, useful): (+.5, +.25), (+.5, -.25), (-.5, +.5), (0, -.25); k = 2, w = .5 and 1.
    # a = .5, .5, -.5, 0; c = .5, -.5, 1, -.5; sums 1, 0 (plus), .5 (plus), -.5 -> delta 1, .5, 1, -.5; lambda = 2.
    base = torch.ones(4)
    plane = pack(torch.ones(4, dtype=torch.bool))
    terms = [
        TermTensors(torch.tensor([1.5, 1.5, 0.5, 1.0]), plane, 2.0),
        TermTensors(torch.tensor([1.25, 0.75, 1.5, 0.75]), plane, 2.0),
    ]
    out = torch.empty(4)
    blend_eager(base, terms, torch.tensor([factors_of(terms, [0.5, 1.0], 2.0)]), [out])
    assert out.tolist() == [3.0, 2.0, 3.0, 0.0]


def test_a_negative_zero_that_nothing_moves_becomes_plus_zero() -> None:
    base = torch.tensor([-0.0, -0.0])
    plane = pack(torch.tensor([True, False]))
    terms = [TermTensors(torch.tensor([-0.0, 5.0]), plane, 1.0)]
    out = torch.empty(2)
    blend_eager(base, terms, torch.tensor([factors_of(terms, [1.0], 1.0)]), [out])
    assert bits(out).tolist() == [0, 0]


@pytest.fixture(scope="module")
def loops() -> Native:
    built = native()
    if built is None:
        pytest.skip("no C compiler on this machine")
    return built


def both(loops: Native, *call: object) -> list[torch.Tensor]:
    """What the eager and the compiled form make of one call; the last argument says how many points and which dtype."""
    *arguments, (count, points, dtype) = call
    made = []
    kernels: list[Kernel] = [blend_eager, compiled_blend(loops)]
    for kernel in kernels:
        outs = [torch.full((count,), 7, dtype=dtype) for _ in range(points)]
        kernel(*arguments, outs)
        made.append(bits(torch.stack(outs)))
    return made


COUNTS = [1, WIDTH - 1, WIDTH, BLOCK, BLOCK + 1, 2 * BLOCK + 5 * WIDTH + 3, 150 * BLOCK + 1234]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float16])
@pytest.mark.parametrize("kept", ["both masked", "safe kept whole", "one term", "two dtypes"])
def test_compiled_form_has_the_eager_bits(loops: Native, dtype: torch.dtype, kept: str, count: int) -> None:
    base, terms = terms_of(count, dtype)
    if kept == "safe kept whole":
        terms[0] = TermTensors(terms[0].tuned, None, 1.0)
    if kept == "one term":
        terms = terms[:1]
    if kept == "two dtypes":
        terms[1] = TermTensors(terms[1].tuned.to(torch.float16), terms[1].plane, terms[1].scale)
    points = [(0.3, 0.7, 1.0), (0.0, 1.0, -0.7), (0.123456, 0.876544, 1.3)]
    rows = torch.tensor([factors_of(terms, point[: len(terms)], point[-1]) for point in points])
    eager, compiled = both(loops, base, terms, rows, (count, len(points), dtype))
    assert torch.equal(eager, compiled)


def test_rounding_to_each_dtype_is_to_nearest_even(loops: Native) -> None:
    count = BLOCK
    patterns = torch.arange(-(2**31), 2**31, 2**32 // count, dtype=torch.int64)[:count].to(torch.int32) + 0x8000
    tuned = patterns.view(torch.float32)
    tuned = torch.where(tuned.isfinite(), tuned, 0.0)
    terms = [TermTensors(tuned, None, 1.0)]
    for dtype in (torch.bfloat16, torch.float16):
        eager, compiled = both(loops, torch.zeros(count), terms, torch.tensor([[1.0, 1.0, 1.0]]), (count, 1, dtype))
        assert torch.equal(eager, compiled)


def test_an_unknown_dtype_takes_the_eager_form(loops: Native) -> None:
    base = torch.ones(5, dtype=torch.float64)
    terms = [TermTensors(base * 2, None, 1.0)]
    eager, compiled = both(loops, base, terms, torch.tensor([[1.0, 0.5, 1.0]]), (5, 1, torch.float32))
    assert torch.equal(eager, compiled)
    assert eager.view(torch.float32).tolist() == [[1.5] * 5]
