"""One record of a data file, and its fields read with the complaint that a user can mend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.identity import storable
from mergescope.ground.errors import DataError


@dataclass(frozen=True, slots=True)
class Record:
    """A line of JSONL, a row of CSV or Parquet, or an object of a JSON array."""

    path: Path
    """The file."""
    place: str
    """Where in the file: `line 3`, or `row 3` where there are no lines (Parquet, from 1)."""
    fields: Mapping[str, Any]
    """Values by column; an empty cell of a CSV file is None."""

    @property
    def where(self) -> str:
        """File and place, as errors name them: `prompts.csv:3`."""
        return f"{self.path}:{self.place.removeprefix('line ')}"

    def wrong(self, what: str, value: object = None, cure: str | None = None) -> DataError:
        """The error that says what is wrong with this record."""
        return DataError(what, where=self.where, value=value, cure=cure)


def text(record: Record, field: str) -> str:
    """A string with text in it; raises DataError otherwise."""
    value = record.fields.get(field)
    if value is None:
        raise record.wrong(f"`{field}` is missing", cure="add it as a string")
    return _string(record, field, value)


def optional_text(record: Record, field: str) -> str | None:
    """The same, or None where the field is not there or null."""
    return None if record.fields.get(field) is None else text(record, field)


def name(record: Record, field: str) -> str:
    """An id or number as text; raises DataError where it is neither a string with text nor a whole number."""
    value = record.fields.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(record, field)


def choice(record: Record, field: str, choices: tuple[str, ...]) -> Any:
    """One of `choices`; raises DataError otherwise."""
    return one_of(record, field, record.fields.get(field), choices)


def one_of(record: Record, field: str, value: object, choices: tuple[str, ...]) -> Any:
    """`value` itself where it is one of `choices`; raises DataError, which names `field`, otherwise."""
    if value is None:
        raise record.wrong(f"`{field}` is missing", cure=f"add one of {', '.join(choices)}")
    if value not in choices:
        raise record.wrong(f"`{field}` is not one of {', '.join(choices)}", value=value, cure="choose one")
    return value


def texts(record: Record, field: str, *, empty: bool = False) -> tuple[str, ...]:
    """A list of strings, at least one; `empty`: strings without text are allowed. Raises DataError otherwise."""
    value = record.fields.get(field)
    if value is None:
        raise record.wrong(f"`{field}` is missing", cure="add it as a list of strings")
    well_formed = isinstance(value, list) and value and all(isinstance(v, str) and (empty or v.strip()) for v in value)
    if not well_formed:
        raise record.wrong(f"`{field}` is not a list of strings", value=value, cure="write one string for each turn")
    return tuple(storable(v) for v in value)


def text_or_texts(record: Record, field: str) -> tuple[str, ...]:
    """A string, or a list of them: one for each turn. Raises DataError otherwise."""
    return texts(record, field) if isinstance(record.fields.get(field), list) else (text(record, field),)


def _string(record: Record, field: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise record.wrong(f"`{field}` is not a string with text in it", value=value, cure="write some text")
    return storable(value)
