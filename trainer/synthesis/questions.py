"""Questions that answers are written to: the user's own, read from files, and those drafted from raw texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from eval.formats.reading import read_records
from eval.formats.record import Record, choice, optional_text, text
from mergescope.ground.errors import DataError
from mergescope.ground.ids import content_id
from trainer.synthesis.config import QuestionKind
from trainer.triples import META

KINDS: tuple[QuestionKind, ...] = ("harmful", "borderline")


@dataclass(frozen=True, slots=True)
class Question:
    """One question, and where it comes from."""

    kind: QuestionKind
    prompt: str
    meta: Mapping[str, str]
    """`risk-area`, `harm-type` and `specific-harm` of the taxonomy."""
    source: str | None
    """Where it comes from; None where nobody says."""
    licence: str | None
    """SPDX name where there is one; None: not known."""
    made_by: str | None
    """Who wrote it, its answer too where it has one; None where nobody says."""
    chosen: str | None = None
    """A good answer that its file gives; None: the writer writes one."""

    @property
    def question_id(self) -> str:
        """Content id: a question has one pair at most, whoever writes its answers."""
        return content_id("d1", [self.kind, self.prompt])


def read_questions(path: Path) -> Iterator[Question]:
    """The questions of a JSONL file, in order: `{"prompt", "kind", "meta": {...}}`, harmful where no kind is given.

    Optional are `chosen`, a good answer, and `source`, `licence` and `made_by`; what else a line holds is not looked
    at, so that triples can be given too. Raises DataError on one line: file and line, field, value, cure.
    """
    empty = True
    for record in read_records(path):
        empty = False
        yield read_question(record)
    if empty:
        cure = 'write one a line: {"prompt", "kind", "meta": {"risk-area", "harm-type", "specific-harm"}}'
        raise DataError("the file holds no questions", where=path, cure=cure)


def read_question(record: Record) -> Question:
    """The question of one record; raises DataError on one line."""
    meta = record.fields.get("meta")
    if not isinstance(meta, dict) or any(not isinstance(meta.get(name), str) for name in META):
        raise record.wrong("`meta` is not usable", cure=f"write an object with {', '.join(META)}, each a name")
    return Question(
        kind=choice(record, "kind", KINDS) if record.fields.get("kind") is not None else "harmful",
        prompt=text(record, "prompt"),
        meta={name: meta[name] for name in META},
        source=optional_text(record, "source"),
        licence=optional_text(record, "licence"),
        made_by=optional_text(record, "made_by"),
        chosen=None if record.fields.get("chosen") == "" else optional_text(record, "chosen"),
    )
