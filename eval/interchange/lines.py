"""Rows as files: JSONL, Parquet, and JSON lists; each row knows where it stands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from mergescope.ground.errors import DataError
from mergescope.ground.json_objects import each_once

RowFormat = Literal["jsonl", "parquet"]
Form = Literal[RowFormat, "llm-jp-judge"]
"""What results are written as and read from."""
FORMS: tuple[str, ...] = get_args(Form)
BATCH = 2000
"""Rows of a Parquet file in memory at once."""


@dataclass(frozen=True, slots=True)
class Raw:
    """One row of a file, not yet looked at."""

    where: str
    """file:line, or file:row for formats without lines; both from 1."""
    fields: Mapping[str, Any]

    def refuse(self, what: str, value: object = None, cure: str | None = None) -> NoReturn:
        """Raise DataError about this row."""
        raise DataError(what, where=self.where, value=value, cure=cure)


def read_rows(path: Path, form: str | None = None) -> Iterator[Raw]:
    """The rows of a file. form: parquet or jsonl; None: by its suffix, .json being one list of objects.

    Raises DataError naming file and line: no such file, not UTF-8, malformed, not an object, a field twice, NaN.
    """
    if not path.is_file():
        raise DataError("no such file", where=path, cure="check the path")
    form = form or path.suffix.removeprefix(".")
    return _parquet(path) if form == "parquet" else _json_list(path) if form == "json" else _jsonl(path)


def write_rows_as(path: Path, form: RowFormat, rows: Iterable[Sequence[Mapping[str, Any]]], schema: Any) -> int:
    """Write batches of rows to a new file; returns how many rows. schema: pyarrow's, used for Parquet."""
    return _write_parquet(path, rows, schema) if form == "parquet" else _write_jsonl(path, rows)


def _jsonl(path: Path) -> Iterator[Raw]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            where = f"{path}:{number}"
            text = _decoded(line, where)
            if text.strip():
                yield Raw(where, _object(_parsed(text.rstrip(), where), where))


def _json_list(path: Path) -> Iterator[Raw]:
    parsed = _parsed(_decoded(path.read_bytes(), str(path)), str(path))
    if not isinstance(parsed, list):
        raise DataError("not a list of rows", where=path, value=parsed, cure="name a table of llm-jp-judge")
    for number, row in enumerate(parsed, 1):
        where = f"{path}:row {number}"
        yield Raw(where, _object(row, where))


def _parquet(path: Path) -> Iterator[Raw]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            each_once([(name, None) for name in file.schema_arrow.names])
            for batch in file.iter_batches(batch_size=BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield Raw(f"{path}:row {number}", row)
    # ValueError: a field twice, or text that is not UTF-8
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise DataError(f"not a readable Parquet file: {error}", where=path, cure="write it again") from None


def _decoded(line: bytes, where: str) -> str:
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start}", where=where, cure="save the file as UTF-8") from None


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_number, object_pairs_hook=each_once)
    except json.JSONDecodeError as error:
        # JSON counts lines within `text`, which is one line of JSONL
        told = f"{error.msg} at column {error.colno}" if error.lineno == 1 else str(error)
    except (ValueError, RecursionError) as error:
        told = str(error)
    raise DataError(f"malformed JSON: {told}", where=where, cure="write one JSON object a line")


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError("not a JSON object", where=where, value=value, cure="write one JSON object a line")
    return value


def _write_jsonl(path: Path, batches: Iterable[Sequence[Mapping[str, Any]]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as stream:
        for rows in batches:
            stream.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
            count += len(rows)
    return count


def _write_parquet(path: Path, batches: Iterable[Sequence[Mapping[str, Any]]], schema: Any) -> int:
    import pyarrow
    from pyarrow import parquet

    count = 0
    with parquet.ParquetWriter(path, schema) as writer:
        for rows in batches:
            if rows:
                writer.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows], schema=schema))
                count += len(rows)
    return count
