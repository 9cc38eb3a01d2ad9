"""The arithmetic against a plain statement of it, and the compiled form against the eager one."""

from __future__ import annotations

import pytest
import torch

from merge.kernel import CompiledBlend, TermTensors, blend_eager, factors_of
from merge.planes import BLOCK, pack

COMPILED = CompiledBlend()


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
    return base, [TermTensors(safe, planes[0], 1.9875, 0.3), TermTensors(useful, planes[1], 3.3, 0.7)]


def test_four_entries_by_hand() -> None:
    # base 1; task vectors (safe, useful): (+.5, +.25), (+.5, -.25), (-.5, +.5), (0, -.25); k = 2, w = .5 and 1.
    # a = .5, .5, -.5, 0; c = .5, -.5, 1, -.5; sums 1, 0 (plus), .5 (plus), -.5 -> delta 1, .5, 1, -.5; lambda = 2.
    base = torch.ones(4)
    plane = pack(torch.ones(4, dtype=torch.bool))
    terms = [
        TermTensors(torch.tensor([1.5, 1.5, 0.5, 1.0]), plane, 2.0, 0.5),
        TermTensors(torch.tensor([1.25, 0.75, 1.5, 0.75]), plane, 2.0, 1.0),
    ]
    out = torch.empty(4)
    blend_eager(base, terms, factors_of(terms, 2.0), out)
    assert out.tolist() == [3.0, 2.0, 3.0, 0.0]


def test_a_negative_zero_that_nothing_moves_becomes_plus_zero() -> None:
    base = torch.tensor([-0.0, -0.0])
    plane = pack(torch.tensor([True, False]))
    terms = [TermTensors(torch.tensor([-0.0, 5.0]), plane, 1.0, 1.0)]
    out = torch.empty(2)
    blend_eager(base, terms, factors_of(terms, 1.0), out)
    assert bits(out).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("dtype", "kept"),
    [
        (torch.bfloat16, "both masked"),
        pytest.param(torch.float32, "both masked", marks=pytest.mark.deep),
        pytest.param(torch.float32, "safe kept whole", marks=pytest.mark.deep),
        pytest.param(torch.bfloat16, "safe kept whole", marks=pytest.mark.deep),
        pytest.param(torch.float32, "one term", marks=pytest.mark.deep),
    ],
)
def test_compiled_form_has_the_eager_bits(dtype: torch.dtype, kept: str) -> None:
    count = 9 * BLOCK + 1234
    base, terms = terms_of(count, dtype)
    if kept == "safe kept whole":
        terms[0] = TermTensors(terms[0].tuned, None, 1.0, 0.3)
    if kept == "one term":
        terms = terms[:1]
    for lambda_ in (1.0, -0.7):
        factors = factors_of(terms, lambda_)
        eager, compiled = torch.empty(count, dtype=dtype), torch.empty(count, dtype=dtype)
        blend_eager(base, terms, factors, eager)
        COMPILED(base, terms, factors, compiled)
        assert torch.equal(bits(eager), bits(compiled))
