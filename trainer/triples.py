"""Preference triples: the prompt, the answer to prefer and the answer to avoid."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mergescope.ground.errors import DataError

META = ("risk-area", "harm-type", "specific-harm")
TEXTS = ("prompt", "chosen", "rejected")
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
    meta: dict[str, str]
    """`risk-area`, `harm-type` and `specific-harm` of the taxonomy."""
    source: str | None = None
    """Where it comes from; None where the file does not say."""
    licence: str | None = None
    """SPDX name where there is one; None where the file does not say."""
    made_by: str | None = None
    """Person, model or template that wrote it; None where the file does not say."""


def load_triples(path: Path) -> list[Triple]:
    """The triples of a JSONL file; raises DataError on one line: file and line, field, value, cure."""
    if not path.is_file():
        raise DataError("no such file of triples", where=path, cure="check the path in the recipe")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {error.reason}", where=path, cure="save it as UTF-8") from None
    triples: list[Triple] = []
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        triple = parse_triple(line, f"{path}:{number}")
        if triple.idx in first_line:
            cure = f"give each triple its own; the first is on line {first_line[triple.idx]}"
            raise DataError("idx stands twice", where=f"{path}:{number}: idx", value=triple.idx, cure=cure)
        first_line[triple.idx] = number
        triples.append(triple)
    if not triples:
        raise DataError("the file holds no triples", where=path, cure=f"write one JSON object a line: {FORM}")
    return triples


def parse_triple(line: str, where: str) -> Triple:
    """One line of a file of triples; `where` is its `file:line` for the DataError of a bad one."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"malformed JSON: {error}", where=where, cure=f"write {FORM}") from None
    if not isinstance(row, dict):
        raise DataError("a triple is a JSON object", where=where, cure=f"write {FORM}")
    idx = row.get("idx")
    if isinstance(idx, bool) or not isinstance(idx, int | str) or idx == "":
        _bad_field(where, "idx", row, "name the triple by a number or a text")
    texts = {name: _text(row, name, where) for name in TEXTS}
    if texts["chosen"] == texts["rejected"]:
        raise DataError("chosen and rejected are equal", where=where, cure="drop the triple")
    return Triple(
        idx=str(idx),
        **texts,
        meta=_meta(row, where),
        source=_optional(row, "source", where),
        licence=_optional(row, "licence", where),
        made_by=_optional(row, "made_by", where),
    )


def check_distinct(triples: Sequence[Triple]) -> None:
    """Raise DataError where an idx stands in two files of one training."""
    seen: set[str] = set()
    for triple in triples:
        if triple.idx in seen:
            cure = "give each triple its own name, or leave one file out"
            raise DataError("idx stands in two files of triples", value=triple.idx, cure=cure)
        seen.add(triple.idx)


def check_overlap(triples: Sequence[Triple], prompts: Iterable[str]) -> None:
    """Raise DataError where a held-out prompt is trained on; compared after NFKC, outer blanks dropped."""
    trained = {_normal(triple.prompt): triple.idx for triple in triples}
    for prompt in prompts:
        if (idx := trained.get(_normal(prompt))) is not None:
            cure = f"remove triple {idx} from training or the prompt from the evaluation set"
            raise DataError("prompt is in both training and held-out data", value=prompt, cure=cure)


def _text(row: dict[str, Any], name: str, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        _bad_field(where, name, row, "write a text that is not empty")
    return value


def _optional(row: dict[str, Any], name: str, where: str) -> str | None:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        _bad_field(where, name, row, "write a text, or leave it out")
    return value


def _meta(row: dict[str, Any], where: str) -> dict[str, str]:
    meta = row.get("meta")
    if not isinstance(meta, dict):
        _bad_field(where, "meta", row, f"write an object with {', '.join(META)}")
    for name in META:
        if not isinstance(meta.get(name), str):
            _bad_field(where, f"meta.{name}", row, "write the category's name")
    return {name: meta[name] for name in META}


def _bad_field(where: str, field: str, row: dict[str, Any], cure: str) -> NoReturn:
    """Raise DataError for a field; the two answers are never shown, since a rejected one may be toxic."""
    value: Any = row
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    what = "missing field" if value is None else "not usable"
    shown = None if field in ("chosen", "rejected") else value
    raise DataError(what, where=f"{where}: {field}", value=shown, cure=cure)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()
