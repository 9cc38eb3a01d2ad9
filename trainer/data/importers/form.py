"""What an importer is, and what it makes of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from eval.formats.record import Record, name
from trainer.taxonomy.categories import LEVELS, NO_HARM

Kind = Literal["harmful", "borderline"]


@dataclass(frozen=True, slots=True)
class Draft:
    """One record of a published set, on its way to a triple."""

    key: str
    """Its name in the set."""
    prompt: str
    chosen: str
    rejected: str | None
    """None: the set has no answer to avoid; `mergescope data make` makes one."""
    meta: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(LEVELS, NO_HARM))
    kind: Kind | None = None
    """What a question without a rejected answer is; None of triples."""
    note: str | None = None
    """What of the record a triple cannot hold; None: nothing."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the records of one kind of set are read."""

    title: str
    """The set's own name, or the form's."""
    draft: Callable[[Record], Draft]
    """Raises DataError where a record cannot become a triple: it is then left out, and counted by what is wrong."""
    config: str | None = None
    """Configuration on the Hub that is read where the user names none; None: the set's own default."""
    prefix: str | None = None
    """What names of triples begin with; None: the source's name."""
    source: str | None = None
    """Where the set comes from; None: as the user gives it."""
    licence: str | None = None
    """SPDX name; None: as the Hub or the user says."""
    made_by: str | None = None
    """Who or what wrote it; None: as the user says."""


def key_of(record: Record) -> str:
    """The record's own idx or id, else where it stands."""
    given: Any = next((column for column in ("idx", "id") if record.fields.get(column) is not None), None)
    return record.place.rpartition(" ")[2] if given is None else name(record, given)
