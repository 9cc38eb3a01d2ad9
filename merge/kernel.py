"""The arithmetic of a merge: one elementwise pass from base, fine-tunes, masks and scales to merged weights.

    a = ((m_s d_s) k_s) w_s          d = theta - theta_0, in float32
    c = ((m_u d_u) k_u) w_u
    t = a + c                        TIES elects the sign of the sum, 0 counting as plus
    delta = max(a, 0) + max(c, 0)    where t >= 0
            min(a, 0) + min(c, 0)    elsewhere
    theta = theta_0 + lambda delta   cast to the dtype of the output

Every step rounds as mergekit's does, so the bits agree: see docs/merge.md.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from merge.planes import BLOCK, WIDTH, unpack

SLICE = 4 * BLOCK
"""Parameters that the eager form handles at a time: temporaries stay in the cache, and no operation is large enough
for torch to wake its threads."""
COMPILED_BLOCKS = 8
"""Fewest whole blocks of a tensor that are worth a call of the compiled kernel."""

CompiledForm = Callable[..., None]


@dataclass(frozen=True, slots=True)
class TermTensors:
    """One fine-tune's part in one tensor."""

    tuned: torch.Tensor
    """The fine-tune's values, flat `(n,)`, in any floating dtype."""
    plane: torch.Tensor | None
    """The mask as a bit plane (see `merge.planes`); None keeps everything."""
    scale: float
    """k, a float32 value."""
    weight: float
    """w, rounded to float32 before use, as mergekit does."""


def merged(
    base: torch.Tensor, tuned: Sequence[torch.Tensor], masks: Sequence[torch.Tensor | None], factors: torch.Tensor
) -> torch.Tensor:
    """The merged values in float32, for one or two fine-tunes. All tensors have one shape.

    masks: float32 zeros and ones, None keeps everything. factors: float32 `(2 * terms + 1,)`: k and w of each
    term, then lambda. A factor of 1 changes no bit, so that none needs a special case.
    """
    theta_0 = base.to(torch.float32)
    terms = []
    for i, (theta, mask) in enumerate(zip(tuned, masks, strict=True)):
        delta = theta.to(torch.float32) - theta_0
        kept = delta if mask is None else mask * delta
        terms.append((kept * factors[2 * i]) * factors[2 * i + 1])
    # Comparisons, not clamps: clamp may keep -0.0, and mergekit's sum over masked terms never does.
    above = _added([torch.where(term > 0, term, 0.0) for term in terms])
    below = _added([torch.where(term < 0, term, 0.0) for term in terms])
    return theta_0 + torch.where(_added(terms) >= 0, above, below) * factors[-1]


def _added(terms: list[torch.Tensor]) -> torch.Tensor:
    return terms[0] if len(terms) == 1 else terms[0] + terms[1]


def factors_of(terms: Sequence[TermTensors], lambda_: float) -> torch.Tensor:
    """k and w of each term, then lambda, as the kernel takes them."""
    return torch.tensor([f for term in terms for f in (term.scale, term.weight)] + [lambda_], dtype=torch.float32)


def blend_eager(base: torch.Tensor, terms: Sequence[TermTensors], factors: torch.Tensor, out: torch.Tensor) -> None:
    """Fill `out` with the merged values, slice after slice. base, out: flat `(n,)`."""
    for start in range(0, base.numel(), SLICE):
        part = slice(start, min(start + SLICE, base.numel()))
        masks = [_mask(term.plane, part) for term in terms]
        out[part] = merged(base[part], [term.tuned[part] for term in terms], masks, factors)


def _mask(plane: torch.Tensor | None, part: slice) -> torch.Tensor | None:
    if plane is None:
        return None
    first, last = part.start // 8, -(-part.stop // BLOCK) * WIDTH
    return unpack(plane[first:last], part.stop - part.start).to(torch.float32)


class CompiledBlend:
    """The same arithmetic as one fused loop per tensor, made by torch.compile; equal in every bit."""

    def __init__(self) -> None:
        self._forms: dict[tuple[object, ...], CompiledForm] = {}

    def __call__(
        self, base: torch.Tensor, terms: Sequence[TermTensors], factors: torch.Tensor, out: torch.Tensor
    ) -> None:
        """As `blend_eager`; what does not fill whole blocks takes the eager form."""
        whole = base.numel() // BLOCK * BLOCK
        if whole < COMPILED_BLOCKS * BLOCK:
            blend_eager(base, terms, factors, out)
            return
        form = self._form(base, terms, out)
        planes = [None if t.plane is None else t.plane[: whole // 8].view(-1, 1, WIDTH) for t in terms]
        form(_blocks(base, whole), [_blocks(t.tuned, whole) for t in terms], planes, factors, _blocks(out, whole))
        rest = [
            TermTensors(t.tuned[whole:], None if t.plane is None else t.plane[whole // 8 :], t.scale, t.weight)
            for t in terms
        ]
        blend_eager(base[whole:], rest, factors, out[whole:])

    def _form(self, base: torch.Tensor, terms: Sequence[TermTensors], out: torch.Tensor) -> CompiledForm:
        # One compiled function per combination, so that none ever meets another and compiles again.
        key = (base.dtype, out.dtype, *((t.tuned.dtype, t.plane is None) for t in terms))
        if key not in self._forms:
            _quote_library_path()
            self._forms[key] = torch.compile(_blended_blocks, dynamic=True, fullgraph=True)
        return self._forms[key]


def _quote_library_path() -> None:
    """Inductor quotes header folders but not torch's library folder: linking fails where that has a space."""
    from torch.utils import cpp_extension

    if Path(cpp_extension.TORCH_LIB_PATH).is_dir():  # a quoted one is none, so that it is quoted once
        cpp_extension.TORCH_LIB_PATH = shlex.quote(cpp_extension.TORCH_LIB_PATH)


def _blended_blocks(
    base: torch.Tensor,
    tuned: list[torch.Tensor],
    planes: list[torch.Tensor | None],
    factors: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """base, tuned, out: `(blocks, 8, WIDTH)`; planes: `(blocks, 1, WIDTH)` uint8."""
    shifts = torch.arange(8, dtype=torch.uint8, device=base.device).view(1, 8, 1)
    masks = [None if plane is None else ((plane >> shifts) & 1).to(torch.float32) for plane in planes]
    out.copy_(merged(base, tuned, masks, factors))


def _blocks(flat: torch.Tensor, whole: int) -> torch.Tensor:
    return flat[:whole].view(-1, 8, WIDTH)


def compiled_blend(base: torch.dtype, tuned: Sequence[torch.dtype], out: torch.dtype) -> CompiledBlend | None:
    """The compiled kernel, warmed up for these dtypes; None where torch.compile cannot build one.

    It needs a C++ compiler and Python's headers, and only building something tells whether they do.
    """
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor.exc import InductorError

    count = COMPILED_BLOCKS * BLOCK
    plane = torch.zeros(count // 8, dtype=torch.uint8)
    terms = [TermTensors(torch.zeros(count, dtype=dtype), plane, 1.0, 1.0) for dtype in tuned]
    kernel = CompiledBlend()
    try:
        kernel(torch.zeros(count, dtype=base), terms, factors_of(terms, 1.0), torch.empty(count, dtype=out))
    except (BackendCompilerFailed, InductorError):
        return None
    return kernel
