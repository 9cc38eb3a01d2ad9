"""Files to records: CSV, JSONL, JSON and Parquet, told apart by what is in them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eval.formats.record import Record
from mergescope.ground.errors import DataError
from mergescope.ground.files import disk_refusals
from mergescope.ground.json_objects import each_once, repeated

LONGEST_CELL = 2**31 - 1
"""Characters of a CSV cell that are read; Python's own limit is 131,072."""
_PARQUET = b"PAR1"
_OPEN = "the array is not closed"
_NO_TEXT = {
    b"\x1f\x8b": ("compressed with gzip", "unpack it"),
    b"PK\x03\x04": (
        "an Excel workbook or a zip file, whatever its name says",
        "export it as CSV in UTF-8, or unpack it",
    ),
    b"\xd0\xcf\x11\xe0": ("an Excel workbook, whatever its name says", "export it as CSV in UTF-8"),
    b"\xff\xfe": ("UTF-16", "save the file as UTF-8"),
    b"\xfe\xff": ("UTF-16", "save the file as UTF-8"),
}
"""First bytes of what is often taken for a text file."""


_DECODER = json.JSONDecoder(object_pairs_hook=each_once)


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file, in order; empty lines are passed over.

    Parquet is known by its first bytes, CSV by its name (`.csv`), all else is JSON: an array of objects, or one object
    a line. Raises DataError on one line: no file, a folder, not UTF-8, compressed, binary, malformed CSV or JSON (with
    the line).
    """
    raw = _bytes(path)
    if raw.startswith(_PARQUET):
        yield from _parquet(raw, path)
        return
    text = _text(raw, path)
    if path.suffix.lower() == ".csv":
        yield from _csv(text, path)
    elif text.lstrip().startswith("["):
        yield from _array(text, path)
    else:
        yield from _lines(text, path)


def read_text(path: Path) -> str:
    """A text file whole, in UTF-8, without a byte order mark; raises DataError as `read_records` does."""
    return _text(_bytes(path), path)


def _bytes(path: Path) -> bytes:
    try:
        with disk_refusals(path):
            return path.read_bytes()
    except FileNotFoundError:
        raise DataError("no such file", where=path, cure="check the path") from None
    except (IsADirectoryError, NotADirectoryError):
        raise DataError("a folder, not a file of prompts", where=path, cure="check the path") from None


def refuse_no_text(head: bytes, path: Path) -> None:
    """Raise DataError where a file that begins so is compressed, a workbook, or UTF-16."""
    for start, (what, cure) in _NO_TEXT.items():
        if head.startswith(start):
            raise DataError(what, where=path, cure=cure)


def encoding_guess(raw: bytes) -> str:
    """What bytes that are not UTF-8 may be, as the end of a complaint; empty where there is no telling."""
    try:
        raw.decode("cp932")
    except UnicodeDecodeError:
        return ""
    return ", it may be Shift-JIS"


def _text(raw: bytes, path: Path) -> str:
    refuse_no_text(raw, path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"not UTF-8 at byte {error.start}{encoding_guess(raw)}"
        raise DataError(what, where=f"{path}:{line}", cure="save the file as UTF-8") from None
    if "\0" in text:
        raise DataError("binary data, not text", where=path, cure="give CSV, JSONL, JSON or Parquet")
    return text


def _lines(text: str, path: Path) -> Iterator[Record]:
    # not splitlines(): a JSON string may hold U+2028 and its like unescaped
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = _DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                cure = "write one JSON object a line or an array of objects, or call the file .csv if it is CSV"
                # an error of JSON counts lines within this line
                place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
                what = f"malformed JSON: {getattr(error, 'msg', error)}{place}"
                raise DataError(what, where=f"{path}:{number}", cure=cure) from None
            yield _record(value, number, path)


def _array(text: str, path: Path) -> Iterator[Record]:
    """The objects of a JSON array, each with the line on which it starts."""
    at = _past_blanks(text, text.index("[") + 1)
    line, counted = 1, 0
    more = not text.startswith("]", at)
    while more:
        line, counted = line + text.count("\n", counted, at), at
        value, at = _decoded(text, at, path)
        yield _record(value, line, path)
        at = _past_blanks(text, at)
        more = text.startswith(",", at)
        at = _past_blanks(text, at + 1) if more else at
    if not text.startswith("]", at):
        raise _malformed("no comma between two objects" if at < len(text) else _OPEN, text, at, path)
    if (rest := _past_blanks(text, at + 1)) < len(text):
        raise _malformed("text after the array", text, rest, path)


def _decoded(text: str, at: int, path: Path) -> tuple[Any, int]:
    """The JSON value that starts at `at`, and where it ends."""
    if at >= len(text):
        raise _malformed(_OPEN, text, at, path)
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        raise _malformed(error.msg, text, error.pos, path) from None
    except (ValueError, RecursionError) as error:
        raise _malformed(str(error), text, at, path) from None


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _malformed(what: str, text: str, at: int, path: Path) -> DataError:
    where = f"{path}:{text.count(chr(10), 0, at) + 1}"
    return DataError(f"malformed JSON: {what}", where=where, cure="write an array of objects, or one object a line")


def _record(value: Any, line: int, path: Path) -> Record:
    record = Record(path, f"line {line}", value if isinstance(value, dict) else {})
    if not isinstance(value, dict):
        raise record.wrong("not a JSON object", value=value, cure="write one JSON object a line")
    return record


def _csv(text: str, path: Path) -> Iterator[Record]:
    rows = _csv_rows(text, path)
    first, header = next(rows, (1, []))
    while header and not header[-1].strip():
        header = header[:-1]  # Excel writes its empty columns too
    if twice := repeated(header):
        raise DataError(f"two columns are called `{twice}`", where=f"{path}:{first}", cure="rename one")
    for line, cells in rows:
        while len(cells) > len(header) and not cells[-1].strip():
            cells.pop()
        record = Record(path, f"line {line}", dict(zip(header, (cell or None for cell in cells), strict=False)))
        if len(cells) != len(header):
            cure = "quote cells that hold commas, and put a comma for each empty cell"
            raise record.wrong(f"{len(cells)} cells where the header has {len(header)}", cure=cure)
        yield record


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line on which each starts: a cell in quotes may hold line breaks."""
    csv.field_size_limit(LONGEST_CELL)  # of the process: nothing else here reads CSV
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            cure = "close the quotes of the row that starts here, and double quotes inside quotes"
            raise DataError(f"malformed CSV: {error}", where=f"{path}:{line}", cure=cure) from None
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _parquet(raw: bytes, path: Path) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(raw)).read()
        if twice := repeated(table.column_names):
            raise DataError(f"two columns are called `{twice}`", where=path, cure="rename one")
        rows = table.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        what = f"malformed Parquet: {str(error).partition(chr(10))[0]}"
        raise DataError(what, where=path, cure="fetch or write the file again") from None
    except UnicodeDecodeError:
        raise DataError("a column of strings is not UTF-8", where=path, cure="write the file again") from None
    yield from (Record(path, f"row {number}", row) for number, row in enumerate(rows, 1))
