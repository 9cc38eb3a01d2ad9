"""Seed annotations: the few examples from people that self-alignment starts from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mergescope.ground.errors import DataError
from trainer.selfalign.config import MOST_ANNOTATIONS

FIELDS = ("domain", "topic", "instruction")
FORM = '{"domain": "...", "topic": "...", "instruction": "..."}'
CONSTRAINTS = 2
"""The first constraints of both sides, which count as annotations as well."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One thing that a user might send, and what it is about."""

    domain: str
    """A field of harmful requests; a category where the taxonomy knows its name."""
    topic: str
    """What in the domain it is about."""
    text: str


def load_seeds(path: Path) -> list[Instruction]:
    """The annotations of a JSONL file; raises DataError on one line: file and line, field, value, cure."""
    if not path.is_file():
        cure = "check data.selfalign.seeds; a demo world with `selfalign: true` makes its own"
        raise DataError("no such file of seed annotations", where=path, cure=cure)
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text: {error.reason}", where=path, cure="save it as UTF-8") from None
    seeds = [_seed(line, f"{path}:{number}") for number, line in enumerate(lines, start=1) if line.strip()]
    if not seeds:
        raise DataError("the file holds no seed annotations", where=path, cure=f"write one JSON object a line: {FORM}")
    if len(seeds) + CONSTRAINTS > MOST_ANNOTATIONS:
        cure = f"keep {MOST_ANNOTATIONS - CONSTRAINTS}: with both constraints they are fewer than 50 then"
        raise DataError("too many seed annotations", where=path, value=len(seeds), cure=cure)
    return seeds


def _seed(line: str, where: str) -> Instruction:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"malformed JSON: {error}", where=where, cure=f"write {FORM}") from None
    if not isinstance(row, dict):
        raise DataError("an annotation is a JSON object", where=where, cure=f"write {FORM}")
    for name in FIELDS:
        value = row.get(name)
        if not isinstance(value, str) or not value.strip():
            what = "not usable" if name in row else "missing field"
            raise DataError(what, where=f"{where}: {name}", value=value, cure="write a text that is not empty")
    return Instruction(row["domain"].strip(), row["topic"].strip(), row["instruction"].strip())
