"""A tensor's bytes, as safetensors stores them, and their hash, whatever file they lie in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from mergescope.ground.errors import CheckpointError
from mergescope.ground.ids import full_hash

Entry = dict[str, Any]
"""A tensor in a bundle's manifest: dtype as torch names it, shape, sha256."""


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The tensor's little-endian bytes in row order; of a contiguous tensor its own memory, not a copy."""
    return memoryview(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


def tensor_sha256(tensor: torch.Tensor) -> str:
    """sha256 in hex over `tensor_bytes`."""
    return hashlib.sha256(tensor_bytes(tensor)).hexdigest()


def tensor_entry(tensor: torch.Tensor) -> Entry:
    """What a manifest holds of a tensor."""
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "sha256": tensor_sha256(tensor),
    }


def entries_hash(entries: Mapping[str, Entry]) -> str:
    """sha256 in hex over the names and entries of all tensors of a checkpoint, in whatever order they came.

    Of a bundle's manifest: over its `tensors`.
    """
    return full_hash(dict(entries))


def stored_entries(folder: Path) -> Iterator[tuple[str, Entry]]:
    """Name and entry of every tensor in a folder's safetensors files, read from disk; the folder need not be ours.

    Raises CheckpointError for a file that is not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as stored:
                for name in stored.keys():  # noqa: SIM118 - no mapping
                    yield name, tensor_entry(stored.get_tensor(name))
        except SafetensorError as error:
            raise CheckpointError(f"no whole safetensors file: {error}", where=file) from None
