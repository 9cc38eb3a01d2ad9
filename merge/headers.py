"""What a safetensors file says of itself, read from its header and checked before anything is mapped."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergescope.ground.errors import CheckpointError
from mergescope.ground.json_objects import RepeatedNameError, each_once

HEADER_LIMIT = 100_000_000
"""Bytes of the longest header that safetensors itself reads."""
DTYPES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""safetensors' names of the dtypes that merge, and torch's."""
ITEM_BITS = {
    **{"F64": 64, "F32": 32, "BF16": 16, "F16": 16, "C64": 64, "BOOL": 8},
    **{f"{kind}{bits}": bits for kind in "IU" for bits in (8, 16, 32, 64)},
    **{"F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8},
    **{"F6_E2M3": 6, "F6_E3M2": 6, "F4": 4},
}
"""Bits of an element in each dtype that safetensors knows."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor as its file's header describes it."""

    dtype: str
    """safetensors' name, such as BF16."""
    shape: tuple[int, ...]
    file: Path
    """The shard that holds it."""

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in its file."""
        return -(-self.numel * ITEM_BITS[self.dtype] // 8)


def read_header(file: Path) -> dict[str, StoredTensor]:
    """Every tensor of one file, in the header's order.

    Raises CheckpointError for a file that is truncated or is not safetensors, and for a header that describes no
    tensors, tensors that overlap, or other bytes than the file holds.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if 8 + length > size:
            raise CheckpointError("truncated, or no safetensors file", where=file, value=f"{size} bytes")
        if length > HEADER_LIMIT:
            raise CheckpointError("no safetensors file: its header is too long", where=file, value=f"{length} bytes")
        raw = stream.read(length)
    found, ranges = {}, []
    for name, entry in _entries(raw, file):
        tensor, place = _tensor(name, entry, file)
        found[name] = tensor
        ranges.append((*place, name))
    _check_ranges(sorted(ranges), size - 8 - length, file)
    return found


def _entries(raw: bytes, file: Path) -> list[tuple[str, Any]]:
    try:
        pairs = json.loads(raw, object_pairs_hook=each_once)
    except RepeatedNameError as error:
        raise CheckpointError(f"the header names {error.name} twice", where=file) from None
    except (ValueError, RecursionError):
        raise CheckpointError("the header is not readable: no safetensors file", where=file) from None
    if not isinstance(pairs, dict):
        raise CheckpointError("the header is no JSON object: no safetensors file", where=file)
    return [(name, entry) for name, entry in pairs.items() if name != "__metadata__"]


def _tensor(name: str, entry: Any, file: Path) -> tuple[StoredTensor, tuple[int, int]]:
    """The tensor and where its bytes start and end, counted from the header's end."""
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = [*shape, start, end]
        well_formed = all(type(number) is int and number >= 0 for number in numbers)
    except (TypeError, KeyError, ValueError):
        well_formed = False
    if not well_formed:
        raise CheckpointError(f"the header's entry of tensor {name} is malformed", where=file, cure="copy it again")
    if dtype not in ITEM_BITS:
        raise CheckpointError(f"tensor {name} has a dtype that safetensors does not know", where=file, value=dtype)
    tensor = StoredTensor(dtype, tuple(shape), file)
    if end - start != tensor.nbytes:
        raise CheckpointError(
            f"tensor {name} ({dtype} {list(shape)}) takes {tensor.nbytes} bytes, its data_offsets {end - start}",
            where=file,
            cure="copy it again",
        )
    return tensor, (start, end)


def _check_ranges(ranges: list[tuple[int, int, str]], held: int, file: Path) -> None:
    """The tensors lie one after another and fill the file, as the format wants it."""
    place = 0
    for start, end, name in ranges:
        if start != place:
            what = "overlaps another" if start < place else "leaves a hole before it"
            raise CheckpointError(f"tensor {name} {what} (data_offsets)", where=file, cure="copy it again")
        place = end
    if place != held:
        raise CheckpointError(
            f"truncated: its header speaks of {place} bytes of tensors",
            where=file,
            value=f"{held} bytes",
            cure="copy it again",
        )
