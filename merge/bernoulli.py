"""DARE's masks and scales for the tensors at hand: mergekit's bits, in a fraction of its time.

Random is only the order in which torch's generator is used, and a float32 sum is defined by the order of its
additions. So the generator moves on exactly as under mergekit, and sums are torch's own, over the same summands in
the same places; all else is elementwise, and free to run at any speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from math import ceil

import numpy as np
import torch

from merge.native import Native, native
from merge.planes import pack

TINY = 1e-7
"""Below this L1 norm mergekit leaves a task vector unscaled."""
STATE = np.dtype([("seed", "<u8"), ("left", "<i4"), ("seeded", "<i4"), ("used", "<u8"), ("numbers", "<u8", 624)])
"""The head of `torch.get_rng_state()`: torch keeps the 32-bit numbers of its Mersenne twister in 64 bits each."""
_ONE = ThreadPoolExecutor(1)
"""One thread, so that draws come in the order in which they were asked for, beside the sums."""

Drawn = tuple[torch.Tensor | None, float | None]


def drawn(
    base: torch.Tensor, tuned: Sequence[torch.Tensor], densities: Sequence[float], *, rescale: bool
) -> Iterator[Drawn]:
    """For each fine-tune DARE's mask, as a bit plane, and mergekit's scale k = |d|_1 / |m d|_1.

    base, tuned: float32, of one shape. The plane is None where a density of 1 draws nothing; k is None where the
    task vector is not finite.
    """
    loops = native()
    if loops is None or not all(tensor.is_contiguous() for tensor in (base, *tuned)):
        for theta, density in zip(tuned, densities, strict=True):
            yield _plainly(theta - base, density, rescale=rescale)
        return
    planes = [_ONE.submit(draw_plane, loops, base.numel(), density) if density < 1 else None for density in densities]
    for theta, plane in zip(tuned, planes, strict=True):
        yield _scaled(loops, base, theta, plane, rescale=rescale)


def _scaled(
    loops: Native, base: torch.Tensor, theta: torch.Tensor, plane: Future[torch.Tensor] | None, *, rescale: bool
) -> Drawn:
    magnitudes = loops.magnitudes(base, theta)
    before = magnitudes.sum()
    mask = None if plane is None else plane.result()
    if not bool(torch.isfinite(before)):
        return mask, None
    if mask is None or not rescale:
        return mask, 1.0
    loops.keep(mask, magnitudes)  # |m d| = m |d|: mergekit's summands, in its order
    return mask, _scale(before, magnitudes.sum())


def _plainly(delta: torch.Tensor, density: float, *, rescale: bool) -> Drawn:
    """The same by torch's own operations."""
    magnitudes = delta.abs()
    before = magnitudes.sum()
    if not bool(torch.isfinite(before)):
        return None, None
    if density >= 1:
        return None, 1.0
    mask = torch.bernoulli(torch.full_like(delta, density)) > 0
    scale = _scale(before, magnitudes.mul_(mask).sum()) if rescale else 1.0
    return pack(mask), scale


def _scale(before: torch.Tensor, after: torch.Tensor) -> float:
    return 1.0 if before < TINY or after < TINY else float(before / after)


def draw_plane(loops: Native, count: int, density: float) -> torch.Tensor:
    """The bits of `torch.bernoulli` on `count` entries of `density`, as a bit plane, and the state that it leaves.

    torch makes a uniform float32 of a number's low 24 bits, and keeps where it is below the density in float32.
    """
    raw = torch.get_rng_state()
    state = raw.numpy()[: STATE.itemsize].view(STATE)
    numbers = state["numbers"][0].astype(np.uint32)
    # `left` counts down to the next renewal of the state and starts at 1, so that the first draw renews it
    plane, used = loops.draw(numbers, 625 - int(state["left"][0]), count, ceil(float(np.float32(density)) * 2**24))
    state["numbers"], state["left"], state["used"] = numbers, 625 - used, used
    torch.set_rng_state(raw)
    return plane
