"""Headers that lie: each is refused in one line that names the file, before a byte is mapped."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from merge.headers import StoredTensor, read_header
from mergescope.ground.errors import CheckpointError

Header = dict[str, Any]


def write(file: Path, header: Header | bytes, data: bytes = b"", length: int | None = None) -> Path:
    """A safetensors file with this very header; `length` is what it says of the header's own size."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return file


def entry(start: int = 0, end: int = 8, dtype: str = "F32", shape: object = (2,)) -> Header:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def refusal(file: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read_header(file)
    line = caught.value.line()
    assert line.startswith(f"{file}: ")
    assert "\n" not in line
    return line


def test_reads_what_safetensors_wrote(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(2, 3, dtype=torch.bfloat16), "b": torch.ones((), dtype=torch.int64)}
    save_file(tensors, tmp_path / "x.safetensors", metadata={"format": "pt"})
    found = read_header(tmp_path / "x.safetensors")
    assert found == {
        "a": StoredTensor("BF16", (2, 3), tmp_path / "x.safetensors"),
        "b": StoredTensor("I64", (), tmp_path / "x.safetensors"),
    }
    assert (found["a"].nbytes, found["b"].nbytes) == (12, 8)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**6])
def test_a_length_beyond_the_file(tmp_path: Path, length: int) -> None:
    assert "truncated, or no safetensors file" in refusal(write(tmp_path / "x", {"a": entry()}, bytes(8), length))


def test_a_length_beyond_what_the_format_allows(tmp_path: Path) -> None:
    file = write(tmp_path / "x", {"a": entry()}, length=200_000_000)
    with file.open("r+b") as stream:
        stream.truncate(300_000_000)  # sparse: takes no room
    assert "its header is too long" in refusal(file)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (b"{broken", "not readable"),
        (b"[" * 100_000, "not readable"),
        (b"\xff\xfe{}", "not readable"),
        (b"[1, 2]", "no JSON object"),
        (b'{"a": {}, "a": {}}', "names a twice"),
    ],
)
def test_headers_that_are_none(tmp_path: Path, header: bytes, part: str) -> None:
    assert part in refusal(write(tmp_path / "x", header))


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        [],
        {"dtype": "F32"},
        entry(shape=[-2]),
        entry(shape=[2.0]),
        entry(shape="2"),
        entry(shape=[True]),
        {**entry(), "data_offsets": [0]},
        {**entry(), "data_offsets": [-8, 0]},
    ],
)
def test_malformed_entries_are_named(tmp_path: Path, value: object) -> None:
    assert "the header's entry of tensor a is malformed" in refusal(write(tmp_path / "x", {"a": value}, bytes(8)))


def test_a_dtype_that_safetensors_does_not_know(tmp_path: Path) -> None:
    line = refusal(write(tmp_path / "x", {"a": entry(dtype="F128")}, bytes(8)))
    assert "tensor a has a dtype that safetensors does not know (got 'F128')" in line


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ({"a": entry(0, 4)}, r"tensor a (F32 [2]) takes 8 bytes, its data_offsets 4"),
        ({"a": entry(8, 0)}, r"tensor a (F32 [2]) takes 8 bytes, its data_offsets -8"),
        ({"a": entry(), "b": entry(4, 12)}, "tensor b overlaps another"),
        ({"a": entry(), "b": entry()}, "tensor b overlaps another"),
        ({"a": entry(), "b": entry(12, 20)}, "tensor b leaves a hole before it"),
        ({"a": entry(), "b": entry(8, 16), "c": entry(16, 24)}, "truncated: its header speaks of 24 bytes"),
        ({"a": entry()}, "truncated: its header speaks of 8 bytes"),
    ],
)
def test_offsets_that_lie(tmp_path: Path, header: Header, part: str) -> None:
    assert part in refusal(write(tmp_path / "x", header, bytes(20)))
