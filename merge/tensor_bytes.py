"""Hashes of tensors, whatever file they lie in."""

from __future__ import annotations

import hashlib

import torch


def tensor_sha256(tensor: torch.Tensor) -> str:
    """sha256 in hex over the tensor's little-endian bytes in row order, as safetensors stores them."""
    flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    return hashlib.sha256(memoryview(flat.numpy())).hexdigest()
