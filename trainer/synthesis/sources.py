"""Raw texts that questions are drafted from: lines and paragraphs of text files, fields of JSONL and CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eval.formats.reading import read_records, read_text
from eval.formats.record import text
from mergescope.ground.errors import DataError
from trainer.synthesis.config import QuestionKind, SourceSection

SUFFIXES = (".txt", ".jsonl", ".csv")


@dataclass(frozen=True, slots=True)
class RawText:
    """One text of a source."""

    text: str
    """Without blanks at its ends."""
    kind: QuestionKind
    """What question is drafted from it."""
    source: str
    """Name of its file."""
    place: str
    """Where in the file it starts: `line 3`."""
    licence: str | None
    """None: not known."""


def read_source(section: SourceSection, path: Path) -> Iterator[RawText]:
    """The texts of a source, in order; empty ones are passed over.

    path: where the file lies. Raises DataError on one line: no such file, another suffix, not UTF-8, malformed, no
    such field, nothing in it.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        cure = f"use one of {', '.join(SUFFIXES)}"
        raise DataError("no known form of source", where=path, value=path.suffix or None, cure=cure)
    found = _split(read_text(path), section.split) if suffix == ".txt" else _fields(path, section.field)
    empty = True
    for place, said in found:
        if said.strip():
            empty = False
            yield RawText(said.strip(), section.kind, path.name, place, section.licence)
    if empty:
        raise DataError("the source holds no text", where=path, cure="check the path, or leave it out")


def _split(whole: str, split: str) -> Iterator[tuple[str, str]]:
    """Lines, or what stands between blank lines, each with the line on which it starts."""
    paragraph: list[str] = []
    started = 1
    for number, line in enumerate(whole.split("\n"), 1):
        if split == "line":
            yield f"line {number}", line
        elif line.strip():
            started = started if paragraph else number
            paragraph.append(line)
        elif paragraph:
            yield f"line {started}", "\n".join(paragraph)
            paragraph = []
    if paragraph:
        yield f"line {started}", "\n".join(paragraph)


def _fields(path: Path, field: str) -> Iterator[tuple[str, str]]:
    for record in read_records(path):
        if field not in record.fields:
            cure = f"set `field` to one of {', '.join(map(str, record.fields))}" if record.fields else "add it"
            raise record.wrong(f"`{field}` is missing", cure=cure)
        if record.fields[field] not in (None, ""):
            yield record.place, text(record, field)
