"""What choices rest on, beside the store in `<store>.choices/` (0700, files 0600): pages write it, exports read it.

`openings.jsonl` has a line for each point whose confirm split somebody looked at: it is only ever added to, and looks
at the same numbers are one line. `evidence-HASH.json` is what one choice rests on, as canonical JSON: its sha256 is the
choice's `evidence_sha256`. Neither holds a text of a prompt or an answer.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from eval.inbox.slips import Id, Person
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import disk_refusals, write_atomic
from mergescope.ground.ids import canonical_json, content_id, text_hash

OPENINGS = "openings.jsonl"
LARGEST = 4 << 20
"""Bytes of one choice's evidence; a longer file is none of ours."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Opening(BaseModel):
    """One look at the confirm split of one point."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    study_id: Id
    checkpoint_id: Id
    judge_id: Id
    select_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the point's numbers on the select split: with new numbers it is another look."""
    who: Person
    at: AwareDatetime

    @property
    def id(self) -> str:
        """What was looked at, whoever did and when."""
        return content_id("o1", self.model_dump(exclude={"who", "at"}))


def choices_folder(store: Path) -> Path:
    """Beside the store, for its owner alone."""
    return store.with_name(f"{store.name}.choices")


def openings(store: Path) -> list[Opening]:
    """All looks at confirm splits, oldest first. Raises MergescopeError for a log that others wrote into."""
    file = choices_folder(store) / OPENINGS
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return []
    lines = raw.split(b"\n")[:-1]  # what has no newline was cut by a kill
    return [_opening(file, number, line) for number, line in enumerate(lines, start=1) if line]


def note_opening(store: Path, opening: Opening) -> Opening:
    """Add a look to the log, flushed to disk, before anything is shown; returns the first one at the same numbers.

    Raises MergescopeError where the log cannot be written.
    """
    with _appending(store) as stream:
        before = next((one for one in openings(store) if one.id == opening.id), None)
        if before is not None:
            return before
        stream.seek(0)
        whole = stream.read().rfind(b"\n") + 1
        stream.truncate(whole)  # what a kill has cut was never shown
        stream.write(opening.model_dump_json().encode("utf-8") + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    return opening


def keep_evidence(store: Path, evidence: Mapping[str, Any]) -> str:
    """Write what a choice rests on; returns its sha256. The same evidence twice is one file."""
    text = canonical_json(dict(evidence))
    digest = text_hash(text)
    write_atomic(_evidence_file(store, digest), text, private=True)
    return digest


def read_evidence(store: Path, digest: str) -> str | None:
    """The canonical JSON of a choice's evidence; None where this machine has none that matches."""
    if not _SHA256.fullmatch(digest):
        return None
    file = _evidence_file(store, digest)
    if file.is_symlink() or not file.is_file() or file.stat().st_size > LARGEST:
        return None
    text = file.read_text(encoding="utf-8", errors="replace")
    return text if text_hash(text) == digest else None


def _evidence_file(store: Path, digest: str) -> Path:
    return choices_folder(store) / f"evidence-{digest}.json"


@contextmanager
def _appending(store: Path) -> Iterator[Any]:
    """The log, locked for this process; it falls with the process."""
    folder = choices_folder(store)
    with disk_refusals(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        with os.fdopen(os.open(folder / OPENINGS, flags, 0o600), "a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream


def _opening(file: Path, number: int, line: bytes) -> Opening:
    try:
        return Opening.model_validate_json(line)
    except ValidationError:
        raise MergescopeError(
            "not a line of this log", where=f"{file}:{number}", cure="put it back as it was: nothing may be taken out"
        ) from None
