"""Drafted questions in a file that people check in place: a line each, with the status that they give it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from eval.formats.record import Record, choice, text
from mergescope.ground.errors import DataError
from mergescope.ground.files import disk_refusals
from mergescope.ground.ids import content_id
from mergescope.ground.json_objects import each_once
from trainer.synthesis.questions import Question, read_question
from trainer.synthesis.sources import RawText

Status = Literal["pending", "approved", "dropped"]
STATUSES: tuple[Status, ...] = ("pending", "approved", "dropped")
FILE = "drafts.jsonl"


@dataclass(frozen=True, slots=True)
class Drafted:
    """One line of the file."""

    draft_id: str
    status: Status
    question: Question


def draft_id(raw: RawText) -> str:
    """Content id of what a question is drafted from: each text has one draft at most, whoever writes it."""
    return content_id("r2", [raw.kind, raw.text])


class Drafts:
    """The file: `make` appends to it, and people change its lines."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def all(self) -> Iterator[Drafted]:
        """Every draft, as people left it; a last line that a kill left unfinished is none.

        Raises DataError on one line for what is not well-formed.
        """
        for number, line in enumerate(self._lines(), 1):
            if line.strip():
                record = self._record(number, line)
                status: Status = choice(record, "status", STATUSES)
                yield Drafted(text(record, "draft_id"), status, read_question(record))

    def mend(self) -> None:
        """Cut off such a line: its response is in the journal. A whole one gets its end."""
        raw = self._raw()
        last = raw.rpartition(b"\n")[2]
        if not last.strip():
            return
        with disk_refusals(self.path), self.path.open("r+b") as stream:
            if _is_json(last):
                stream.seek(0, os.SEEK_END)
                stream.write(b"\n")
            else:
                stream.truncate(len(raw) - len(last))

    def add(self, name: str, question: Question, place: str) -> None:
        """Append a draft, pending, and flush it to disk. place: where in its source it comes from, for people.

        Raises MergescopeError where the disk is full or read-only.
        """
        row = {"draft_id": name, "status": "pending", **asdict(question), "place": place}
        line = json.dumps(row, ensure_ascii=False) + "\n"
        with disk_refusals(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as stream:
                stream.write(line.encode())
                stream.flush()
                os.fsync(stream.fileno())

    def _raw(self) -> bytes:
        return self.path.read_bytes() if self.path.is_file() else b""

    def _lines(self) -> list[bytes]:
        *whole, last = self._raw().split(b"\n")
        return [*whole, last] if _is_json(last) else whole

    def _record(self, number: int, line: bytes) -> Record:
        try:
            fields = json.loads(line.decode("utf-8-sig"), object_pairs_hook=each_once)
        except (ValueError, RecursionError) as error:
            what, cure = f"not readable: {getattr(error, 'msg', error)}", "correct the line, or remove it"
            raise DataError(what, where=f"{self.path}:{number}", cure=cure) from None
        record = Record(self.path, f"line {number}", fields if isinstance(fields, dict) else {})
        if not isinstance(fields, dict):
            raise record.wrong("not a JSON object", cure="correct the line, or remove it")
        return record


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
