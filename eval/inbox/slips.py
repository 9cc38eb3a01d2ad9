"""Slips of the inbox: their form, writing one, and reading those that wait. The package's docstring has an example."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from eval.interchange.forms import Finite, Name, check_score
from mergescope.ground.errors import MergescopeError, printable
from mergescope.ground.files import write_atomic
from mergescope.ground.ids import content_id

ASIDE = "aside"
"""Folder in the inbox for what is no slip."""
LARGEST = 64 * 1024
"""Bytes of a slip; a longer file is none."""
LONGEST_NAME, LONGEST_NOTE, LONGEST_RULE = 64, 4_000, 16_000
"""Characters."""

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,64}$")]
Person = Annotated[Name, Field(max_length=LONGEST_NAME)]


class _Slip(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    made_at: AwareDatetime
    supersedes: Id | None = None

    @field_validator("made_at")
    @classmethod
    def _within_the_calendar(cls, value: AwareDatetime) -> AwareDatetime:
        if not 2000 <= value.year <= 9000:  # what the store and UTC can say
            raise ValueError("the year is out of range")
        return value


class VerdictSlip(_Slip):
    """A person's verdict on one text as the answer to one prompt."""

    form: Literal["verdict/1"] = "verdict/1"
    text_id: Id
    prompt_id: Id
    axis: Annotated[str, Field(max_length=40)]
    value: Finite | None = None
    """1-5, of axes with numbers."""
    label: str | None = None
    """Of axes with labels. With neither, the verdict that it supersedes is taken back."""
    rater: Person
    blind: bool
    """Given without seeing whose answer it is and what a judge says."""
    seen_judge: bool
    """Whether a judge's word on this prompt's answers was on the screen."""
    p_selected: Annotated[float, Field(ge=1e-9, le=1)] | None = None
    """Probability with which the answer was sampled for an audit; None: it was not sampled."""

    @model_validator(mode="after")
    def _one_word(self) -> Self:
        if self.value is not None and self.label is not None:
            raise ValueError("`value` and `label` are both given: keep one of them")
        if self.value is None and self.label is None:
            if self.supersedes is None:
                raise ValueError("neither `value` nor `label`, and nothing to take back: give one of them")
            return self
        if self.axis == "correct":
            raise ValueError("`axis` correct is scored by rules: give another")
        check_score(self.axis, self.value, self.label)
        return self

    @property
    def id(self) -> str:
        """The row's key."""
        return content_id("h1", _content(self))


class ChoiceSlip(_Slip):
    """A point that somebody chose for a study."""

    form: Literal["choice/1"] = "choice/1"
    study_id: Id
    checkpoint_id: Id
    rule: Annotated[str, Field(max_length=LONGEST_RULE)]
    """JSON."""
    store_revision: Annotated[int, Field(ge=0, lt=2**63)]
    """Of the store whose numbers were looked at."""
    evidence_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    who: Person
    note: Annotated[str, Field(max_length=LONGEST_NOTE)]

    @property
    def id(self) -> str:
        """The row's key."""
        return content_id("x1", _content(self))


Slip = VerdictSlip | ChoiceSlip
_SLIP: TypeAdapter[Slip] = TypeAdapter(Annotated[Slip, Field(discriminator="form")])


@dataclass(frozen=True, slots=True)
class Waiting:
    """One file of the inbox."""

    path: Path
    slip: Slip | None
    """None where it is no slip; `wrong` says why."""
    wrong: str = ""
    """On one line, without the file's name."""


def inbox_of(store: Path) -> Path:
    """The inbox of a store: `<store>.inbox` beside it."""
    return store.with_name(f"{store.name}.inbox")


def put(store: Path, slip: Slip) -> Path:
    """Write a slip into the inbox, whole and flushed to disk; the same slip twice is one file.

    Raises MergescopeError where the inbox is no folder of its own, or the disk is full or read-only.
    """
    path = _folder(store) / file_name(slip)
    write_atomic(path, slip.model_dump_json() + "\n", private=True)
    return path


def file_name(slip: Slip) -> str:
    """Of a slip's file: `verdict-h1_….json`."""
    return f"{slip.form.partition('/')[0]}-{slip.id}.json"


def waiting(store: Path, most: int | None = None) -> list[Waiting]:
    """The inbox's files in the order of their names, at most `most` of them; those that vanish meanwhile were taken in.

    Files that begin with a dot are being written and do not count.
    """
    folder = inbox_of(store)
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    paths = [folder / name for name in names if name != ASIDE and not name.startswith(".")]
    return [one for path in paths[:most] for one in _read(path)]


def _folder(store: Path) -> Path:
    """The inbox, made where it is missing, for its owner alone."""
    folder = inbox_of(store)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise MergescopeError(f"no inbox can be made: {error.strerror}", where=folder) from None
    if folder.is_symlink() or not folder.is_dir():
        raise MergescopeError("the inbox must be a folder of its own", where=folder, cure="remove what lies there")
    if stat.S_IMODE(folder.stat().st_mode) != 0o700:
        folder.chmod(0o700)
    return folder


def _read(path: Path) -> Iterator[Waiting]:
    try:
        raw = _bytes(path)
    except FileNotFoundError:
        return
    except OSError as error:
        yield Waiting(path, None, f"cannot be read: {error.strerror}")
        return
    if raw is None:
        yield Waiting(path, None, "no file of its own, or longer than a slip")
        return
    try:
        yield Waiting(path, _SLIP.validate_json(raw))
    except ValidationError as error:
        yield Waiting(path, None, _first_wrong(error))


def _bytes(path: Path) -> bytes | None:
    """A regular file's bytes; None for links, folders, pipes and files that are too long."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return None
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        raw = stream.read(LARGEST + 1)
    return raw if len(raw) <= LARGEST else None


def _first_wrong(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return printable(f"no slip: {place + ': ' if place else ''}{first['msg']}")[:300]


def _content(slip: _Slip) -> dict[str, Any]:
    return {**slip.model_dump(exclude={"made_at"}), "made_at": slip.model_dump(mode="json")["made_at"]}
