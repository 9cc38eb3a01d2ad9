"""Masks as bit planes: one bit a parameter, laid out so that a vectorised loop can unpack them.

A plane holds blocks of 8 x 1024 parameters in 1024 bytes. Bit i of byte j of a block belongs to the block's
parameter i * 1024 + j, hence unpacking bit i is one shift over 1024 neighbouring bytes, and never a gather.
The last block is filled up with zero bits.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

WIDTH = 1024
"""Bytes of a block."""
BLOCK = 8 * WIDTH
"""Parameters of a block."""


def plane_bytes(count: int) -> int:
    """Bytes of the plane of a tensor of `count` parameters."""
    return -(-count // BLOCK) * WIDTH


def pack(mask: torch.Tensor) -> torch.Tensor:
    """Bool mask of any shape (read in its own order) -> uint8 plane `(blocks * WIDTH,)`."""
    flat = mask.reshape(-1)
    blocks = -(-flat.numel() // BLOCK)
    if flat.numel() < blocks * BLOCK:
        flat = torch.nn.functional.pad(flat, (0, blocks * BLOCK - flat.numel()))
    bits = flat.view(torch.uint8).view(blocks, 8, WIDTH)
    plane = bits[:, 0].clone()
    for i in range(1, 8):
        plane |= bits[:, i] << i
    return plane.view(-1)


def unpack(plane: torch.Tensor, count: int) -> torch.Tensor:
    """uint8 plane -> bool mask `(count,)`."""
    if plane.device.type != "cpu":
        shifts = torch.arange(8, dtype=torch.uint8, device=plane.device).view(1, 8, 1)
        return ((plane.view(-1, 1, WIDTH) >> shifts) & 1).view(-1)[:count].to(torch.bool)
    # numpy's unpackbits takes a quarter of the time of eight shifts in torch.
    bits = np.unpackbits(plane.view(-1, 1, WIDTH).numpy(), axis=1, bitorder="little")
    return torch.from_numpy(bits).view(-1)[:count].view(torch.bool)


def mapped(file: Path) -> torch.Tensor:
    """A file's bytes as a uint8 tensor, mapped: nothing is read before it is used, and nothing written back."""
    size = file.stat().st_size
    return torch.from_file(str(file), shared=False, size=size, dtype=torch.uint8)
