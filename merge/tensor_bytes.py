"""A tensor's bytes, as safetensors stores them, and their hash, whatever file they lie in."""

from __future__ import annotations

import hashlib

import torch


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The tensor's little-endian bytes in row order; of a contiguous tensor its own memory, not a copy."""
    return memoryview(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def tensor_sha256(tensor: torch.Tensor) -> str:
    """sha256 in hex over `tensor_bytes`."""
    return hashlib.sha256(tensor_bytes(tensor)).hexdigest()
