"""What a format makes of a record, and what a format is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from eval.config import GivenKind
from eval.formats.record import Record
from eval.identity import Message
from eval.prompts import Kind, Refusal


@dataclass(frozen=True, slots=True)
class Draft:
    """An item of a prompt set, before a study splits it into select and confirm."""

    key: str
    """Its name in the set, unique there."""
    kind: Kind
    messages: tuple[Message, ...]
    """The conversation up to the user's last turn. Two user turns in a row: the first is answered before the second."""
    category: tuple[str, ...]
    """One to three levels, widest first."""
    group: str
    """Items of one subject, contrast pair or conversation."""
    reference: str | None = None
    reference_refusal: Refusal | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a recipe says of a file beyond its format."""

    kind: GivenKind | None = None
    """Kind of all items; None: the format says it."""
    references: Mapping[str, str] = field(default_factory=dict)
    """Reference answers by key, from a file of their own."""


@dataclass(frozen=True, slots=True)
class Format:
    """How the records of one published file are read."""

    title: str
    """The data set's own name."""
    key: str
    """The column that tells records apart, as errors name it."""
    columns: frozenset[str]
    """Columns that every file of this format has, and by which it is known."""
    licence: str | None
    """Licence of the published file as an SPDX name; None where it has none of its own."""
    drafts: Callable[[Record, Wish], Iterator[Draft]]
    """Items of one record; raises DataError naming place, field and cure."""


def user(*turns: str) -> tuple[Message, ...]:
    """User turns in a row, as messages."""
    return tuple({"role": "user", "content": turn} for turn in turns)
