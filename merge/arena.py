"""Memory for tensors that come and go in the same few sizes.

Every ratio of a sweep makes every tensor again. Fresh memory costs a page fault for each 4 KiB and the zeroing of it,
which together took as long as the blend itself; so memory that a caller has dropped serves the next tensor.
"""

from __future__ import annotations

import ctypes
import math
import mmap
import weakref
from collections import defaultdict

import torch

SMALL = 1 << 20
"""Bytes below which torch's own allocator keeps memory by itself."""


class Arena:
    """Gives out uninitialised tensors. Each is its holder's own for as long as anything refers to it."""

    def __init__(self, kept: int) -> None:
        """kept: most free blocks that are kept of each size."""
        self._kept = kept
        self._free: dict[int, list[mmap.mmap]] = defaultdict(list)

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """A contiguous CPU tensor."""
        size = math.prod(shape) * dtype.itemsize
        if size < SMALL:
            return torch.empty(shape, dtype=dtype)
        try:
            block = self._free[size].pop()
        except IndexError:
            block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        held = _held_type(size).from_buffer(block)
        weakref.finalize(held, self._take_back, size, block).atexit = False
        return torch.frombuffer(held, dtype=dtype).view(shape)

    def _take_back(self, size: int, block: mmap.mmap) -> None:
        if len(self._free[size]) < self._kept:
            self._free[size].append(block)


def _held_type(size: int) -> type[ctypes.Array[ctypes.c_char]]:
    return ctypes.c_char * size
