"""The arithmetic of a merge: one elementwise pass from base, fine-tunes, masks and scales to merged weights.

    a = ((m_s d_s) k_s) w_s          d = theta - theta_0, in float32
    c = ((m_u d_u) k_u) w_u
    t = a + c                        TIES elects the sign of the sum, 0 counting as plus
    delta = (a > 0 ? a : +0) + (c > 0 ? c : +0)    where t >= 0
            (a < 0 ? a : +0) + (c < 0 ? c : +0)    elsewhere: never -0.0, which max(a, 0) may keep
    theta = theta_0 + lambda delta   cast to the dtype of the output

Every step rounds as mergekit's does, so the bits agree: see docs/merge.md. The form here is the definition;
merge/native.c says it again for CPUs, and merge/gpu.py compiles this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from merge.arena import Arena
from merge.masks import TensorRecord
from merge.native import Native
from merge.planes import BLOCK, WIDTH, unpack

SLICE = 4 * BLOCK
"""Parameters that the eager form handles at a time: temporaries stay in the cache, and no operation is large enough
for torch to wake its threads."""


@dataclass(frozen=True, slots=True)
class TermTensors:
    """One fine-tune's part in one tensor."""

    tuned: torch.Tensor
    """The fine-tune's values, flat `(n,)`, in any floating dtype."""
    plane: torch.Tensor | None
    """The mask as a bit plane (see `merge.planes`); None keeps everything."""
    scale: float
    """k, a float32 value."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one tensor of a merge is made of."""

    base: torch.Tensor
    """The base's values, flat `(n,)`."""
    terms: tuple[TermTensors, ...]
    """None, one or two."""

    def tensors(self) -> Iterator[torch.Tensor]:
        """Values and masks."""
        yield self.base
        for term in self.terms:
            yield term.tuned
            if term.plane is not None:
                yield term.plane

    def put(self, place: Callable[[torch.Tensor], torch.Tensor]) -> Inputs:
        """The same with every tensor moved by `place`."""
        terms = (TermTensors(place(t.tuned), None if t.plane is None else place(t.plane), t.scale) for t in self.terms)
        return Inputs(place(self.base), tuple(terms))

    def after(self, start: int) -> Inputs:
        """What follows `start`, a multiple of a plane's BLOCK."""
        terms = (
            TermTensors(t.tuned[start:], None if t.plane is None else t.plane[start // 8 :], t.scale)
            for t in self.terms
        )
        return Inputs(self.base[start:], tuple(terms))


Make = Callable[[TensorRecord], Inputs]
"""Finds what a record is made of."""


Empty = Callable[[tuple[int, ...], torch.dtype], torch.Tensor]
"""Gives an uninitialised tensor of a shape and dtype."""


class Device(Protocol):
    """Where merges are blended; what it makes has the same bits wherever that is."""

    kernel: Kernel
    """The arithmetic."""

    def memory(self, held: int) -> Empty:
        """What gives memory on the device to somebody who holds at most `held` tensors of a shape at once."""

    def staged(self, records: Sequence[TensorRecord], make: Make) -> Iterator[tuple[TensorRecord, Inputs]]:
        """Each record with its inputs on the device."""


class Cpu:
    """The processor, which reads mapped files as they are."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def memory(self, held: int) -> Empty:
        """An arena's, which uses dropped memory again."""
        return Arena(held).empty

    def staged(self, records: Sequence[TensorRecord], make: Make) -> Iterator[tuple[TensorRecord, Inputs]]:
        """Each record with its inputs, mapped."""
        return ((record, make(record)) for record in records)


Kernel = Callable[[torch.Tensor, Sequence[TermTensors], torch.Tensor, Sequence[torch.Tensor]], None]
"""Fills each of `outs`, the last argument, with the merged values at one point: kernel(base, terms, factors, outs).

base, outs: flat `(n,)`. factors: float32 `(points, 2 * terms + 1)`, as `factors_of` gives them."""


def factors_of(terms: Sequence[TermTensors], weights: Sequence[float], lambda_: float) -> list[float]:
    """One row of a kernel's factors: k and w of each term, then lambda."""
    return [f for term, weight in zip(terms, weights, strict=True) for f in (term.scale, weight)] + [lambda_]


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


def blend_eager(
    base: torch.Tensor, terms: Sequence[TermTensors], factors: torch.Tensor, outs: Sequence[torch.Tensor]
) -> None:
    """The kernel in plain torch operations, slice after slice."""
    for start in range(0, base.numel(), SLICE):
        part = slice(start, min(start + SLICE, base.numel()))
        masks = [_mask(term.plane, part) for term in terms]
        for row, out in zip(factors, outs, strict=True):
            out[part] = merged(base[part], [term.tuned[part] for term in terms], masks, row)


def _mask(plane: torch.Tensor | None, part: slice) -> torch.Tensor | None:
    if plane is None:
        return None
    first, last = part.start // 8, -(-part.stop // BLOCK) * WIDTH
    return unpack(plane[first:last], part.stop - part.start).to(torch.float32)


def compiled_blend(loops: Native) -> Kernel:
    """The kernel as one compiled pass over memory; dtypes that the loops do not know take the eager form."""

    def blend(
        base: torch.Tensor, terms: Sequence[TermTensors], factors: torch.Tensor, outs: Sequence[torch.Tensor]
    ) -> None:
        tuned = [term.tuned for term in terms]
        if loops.takes(base, *tuned, *outs):
            loops.blend(base, tuned, [term.plane for term in terms], factors, outs)
        else:
            blend_eager(base, terms, factors, outs)

    return blend
