"""Preference triples: the prompt, the answer to prefer and the answer to avoid."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergescope.ground.errors import DataError
from trainer.json_lines import Row, read_rows

META = ("risk-area", "harm-type", "specific-harm")
TEXTS = ("prompt", "chosen", "rejected")
OPTIONAL = ("source", "licence", "made_by", "toxic_constraint")
FORM = '{"idx", "prompt", "chosen", "rejected", "meta": {"risk-area", "harm-type", "specific-harm"}}'


@dataclass(frozen=True, slots=True)
class Triple:
    """One preference: of two answers to a prompt, which to give."""

    idx: str
    """Its name, unique within all files of a training."""
    prompt: str
    """What the user asks."""
    chosen: str
    """The answer to learn."""
    rejected: str
    """The answer to move away from."""
    meta: Mapping[str, str]
    """`risk-area`, `harm-type` and `specific-harm` of the taxonomy."""
    source: str | None = None
    """Where it comes from; None where the file does not say."""
    licence: str | None = None
    """SPDX name where there is one; None where the file does not say."""
    made_by: str | None = None
    """Person, model or template that wrote it; None where the file does not say."""
    toxic_constraint: str | None = None
    """System message under which the rejected answer was made; None where the file does not say."""


def load_triples(path: Path, complain: Callable[[DataError], None] | None = None) -> list[Triple]:
    """The triples of a JSONL file; raises DataError on one line: file and line, field, value, cure.

    complain: is told what is wrong with a line, which is then left out; None raises the first such DataError. What is
    wrong with the whole file is always raised.
    """
    triples: list[Triple] = []
    first: dict[str, str] = {}
    wrong: list[DataError] = []

    def heard(error: DataError) -> None:
        if complain is None:
            raise error
        wrong.append(error)
        complain(error)

    for row in read_rows(path, FORM, heard):
        try:
            triple = triple_of(row)
            if triple.idx in first:
                cure = f"give each triple its own; the first is on line {first[triple.idx]}"
                raise DataError("idx stands twice", where=f"{row.where}: idx", value=triple.idx, cure=cure)
        except DataError as error:
            heard(error)
            continue
        first[triple.idx] = row.where.rpartition(":")[2]
        triples.append(triple)
    if not triples and not wrong:
        raise DataError("the file holds no triples", where=path, cure=f"write one JSON object a line: {FORM}")
    return triples


def triple_of(row: Row) -> Triple:
    """The triple that a line's object says; raises DataError naming line, field, value and cure.

    The two answers are never shown, since a rejected one may be toxic.
    """
    _refuse_unknown(row, "", row.fields, (*TEXTS, "idx", "meta", *OPTIONAL))
    idx = _idx(row)
    texts = {name: _text(row, name) for name in TEXTS}
    if texts["chosen"].strip() == texts["rejected"].strip():
        raise DataError("chosen and rejected are equal", where=row.where, cure="drop the triple")
    source, licence, made_by, constraint = (_optional(row, name) for name in OPTIONAL)
    return Triple(
        idx, **texts, meta=_meta(row), source=source, licence=licence, made_by=made_by, toxic_constraint=constraint
    )


def check_distinct(triples: Sequence[Triple]) -> None:
    """Raise DataError where an idx stands in two files of one training."""
    seen: set[str] = set()
    for triple in triples:
        if triple.idx in seen:
            cure = "give each triple its own name, or leave one file out"
            raise DataError("idx stands in two files of triples", value=triple.idx, cure=cure)
        seen.add(triple.idx)


def _refuse_unknown(row: Row, inside: str, fields: Mapping[str, Any], known: Sequence[str]) -> None:
    if (unknown := next((name for name in fields if name not in known), None)) is None:
        return
    alike = difflib.get_close_matches(unknown, known, 1)
    if not inside and unknown in META:
        cure = "put it inside `meta`"
    elif unknown == "kind":
        cure = "questions become triples by `mergescope data make`"
    elif alike:
        cure = f"call it `{alike[0]}`"
    else:
        cure = f"remove it; known fields: {', '.join(known)}"
    raise DataError(f"unknown field{inside and f' in {inside}'}", where=row.where, value=unknown, cure=cure)


def _idx(row: Row) -> str:
    value = row.fields.get("idx")
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise _wrong(row, "idx", f"{_kind(value)}, not a name", value, "name the triple by a whole number or a text")
    return str(value) if isinstance(value, int) else _checked(row, "idx", value)


def _text(row: Row, name: str) -> str:
    return _checked(row, name, row.fields.get(name))


def _optional(row: Row, name: str) -> str | None:
    return None if row.fields.get(name) is None else _text(row, name)


def _meta(row: Row) -> dict[str, str]:
    meta = row.fields.get("meta")
    form = f"write an object with {', '.join(META)}"
    if meta is None:
        raise _wrong(row, "meta", "missing field", None, form)
    if not isinstance(meta, dict):
        what = "an object written as text" if isinstance(meta, str) and meta[:1] == "{" else f"{_kind(meta)}, no object"
        raise _wrong(row, "meta", what, meta, form)
    _refuse_unknown(row, "meta", meta, META)
    return {name: _checked(row, f"meta.{name}", meta.get(name)) for name in META}


def _checked(row: Row, field: str, value: object) -> str:
    """A text with something in it; raises DataError otherwise."""
    if value is None:
        cure = "make it with `mergescope data make`, or add it" if field == "rejected" else "add it as a text"
        raise _wrong(row, field, "missing field", None, cure)
    if not isinstance(value, str):
        cure = "write a text"
        if isinstance(value, list) and value and isinstance(value[0], dict):
            cure = "import conversations: `mergescope data import trl`"
        raise _wrong(row, field, f"{_kind(value)}, not a text", value, cure)
    if not any(c.isprintable() and not c.isspace() for c in value):
        raise _wrong(row, field, "nothing to be seen in it", value, "write a text that is not empty")
    if any("\ud800" <= c <= "\udfff" for c in value):
        cure = "write the whole character; the file was cut within it or written by a faulty program"
        raise _wrong(row, field, "half a character (a lone surrogate)", value, cure)
    if "\0" in value:
        raise _wrong(row, field, "holds a NUL character", value, "remove it")
    return value


def _wrong(row: Row, field: str, what: str, value: object, cure: str) -> DataError:
    shown = None if field in ("chosen", "rejected") else value
    return DataError(what, where=f"{row.where}: {field}", value=shown, cure=cure)


def _kind(value: object) -> str:
    names = {bool: "a truth value", int: "a number", float: "a number", str: "a text", list: "a list"}
    return names.get(type(value), "an object")
