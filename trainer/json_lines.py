"""Files of one JSON object a line, read line by line, with what is wrong said of the very line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from eval.formats.reading import encoding_guess, refuse_no_text
from mergescope.ground.errors import DataError
from mergescope.ground.files import disk_refusals
from mergescope.ground.json_objects import each_once

LONGEST_LINE = 1 << 24
"""Bytes of the longest line that is read."""
_MARK = "\ufeff"
_PARQUET = b"PAR1"
_HEAD = 4
"""Bytes that tell a file that is no text."""
_DECODER = json.JSONDecoder(object_pairs_hook=each_once)


@dataclass(frozen=True, slots=True)
class Row:
    """The object of one line."""

    where: str
    """`file:line`, from 1."""
    fields: dict[str, Any]


def read_rows(path: Path, form: str, complain: Callable[[DataError], None] | None = None) -> Iterator[Row]:
    """The objects of a file in order; blank lines, a byte order mark at the start and CRLF are passed over.

    form: what a line looks like, for cures. complain: is told what is wrong with a line, which is then left out; None
    raises the first such DataError. What is wrong with the whole file is always raised: missing, a folder, no text,
    CSV, a JSON array, objects over several lines, a line longer than LONGEST_LINE.
    """
    first = True
    for number, raw in _lines(path):
        where = f"{path}:{number}"
        try:
            text = _text(raw, where, number)
            if first and text.strip():
                _refuse_other_forms(text, where, form)
            first = first and not text.strip()
            if text.strip():
                yield Row(where, _object(text, where, form))
        except _OtherFormError:
            raise
        except DataError as error:
            if complain is None:
                raise
            complain(error)


class _OtherFormError(DataError):
    """What is wrong with all lines of a file."""


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines with their numbers, line ends kept."""
    with disk_refusals(path), _opened(path) as stream:
        head = stream.read(_HEAD)
        refuse_no_text(head, path)
        if head == _PARQUET:
            raise DataError("Parquet, not JSON", where=path, cure="import it: `mergescope data import`")
        stream.seek(0)
        number = 0
        while raw := stream.readline(LONGEST_LINE + 1):
            number += 1
            if len(raw) > LONGEST_LINE:
                what = f"a line of more than {LONGEST_LINE >> 20} MB"
                raise DataError(what, where=f"{path}:{number}", cure="write one object a line, and shorter texts")
            yield number, raw


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise DataError("no such file", where=path, cure="check the path") from None
    except (IsADirectoryError, NotADirectoryError):
        raise DataError("a folder, not a file", where=path, cure="name the .jsonl file in it") from None


def _text(raw: bytes, where: str, number: int) -> str:
    if b"\0" in raw:
        cure = "remove the line, or write the file again"
        raise DataError("holds NUL bytes, as after a crash or in a binary file", where=where, cure=cure)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"not UTF-8 at byte {error.start} of the line{encoding_guess(raw)}"
        raise DataError(what, where=where, cure="save the file as UTF-8") from None
    if text.startswith(_MARK) and number > 1:
        cure = "remove the mark: two files were joined here"
        raise DataError("a byte order mark within the file", where=where, cure=cure)
    return text.removeprefix(_MARK)


def _refuse_other_forms(text: str, where: str, form: str) -> None:
    """Raise DataError where the first line with text in it shows that the file is not of this form at all."""
    start = text.strip()
    path = Path(where.rpartition(":")[0])
    if path.suffix.lower() in (".csv", ".tsv") or (start[0] not in "{[" and {",", "\t"} & set(start)):
        raise _OtherFormError("CSV, not JSON", where=where, cure=f"write one JSON object a line: {form}")
    if start == "[" or start.startswith("[{"):
        raise _OtherFormError("a JSON array", where=where, cure="write one object a line, no brackets around them")
    if start == "{":
        raise _OtherFormError("an object over several lines", where=where, cure="write each object on one line")


def _object(text: str, where: str, form: str) -> dict[str, Any]:
    try:
        value = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        what, cure = _why(text, error, form)
        raise DataError(what, where=where, cure=cure) from None
    if not isinstance(value, dict):
        raise DataError(f"a {_KINDS[type(value)]}, not a JSON object", where=where, cure=f"write {form}")
    return value


_KINDS = {list: "list", str: "text", int: "number", float: "number", bool: "truth value", type(None): "null"}


def _why(text: str, error: Exception, form: str) -> tuple[str, str]:
    """What is wrong with a line that is not JSON, and the cure; never a word of the line itself."""
    start = text.lstrip()
    if start.startswith("{'"):
        return "written as Python prints it, not as JSON", "write it with json.dumps"
    if isinstance(error, RecursionError):
        return "malformed JSON: nested too deeply", f"write {form}"
    if not isinstance(error, json.JSONDecodeError):
        return f"malformed JSON: {error}", "correct the line"
    if error.msg == "Extra data":
        return f"more than one value on the line, from column {error.colno}", "write each object on a line of its own"
    if not text.endswith("\n"):
        return "the last line is cut off", "write the file again, or remove the line"
    return f"malformed JSON: {error.msg} at column {error.colno}", f"write {form}"
