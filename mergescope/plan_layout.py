"""How plans stand on a terminal of 80 to 100 columns: sections, facts with a name at the left, notes."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

WIDTH = 92
NAME = 16
"""Columns of the names at the left."""


def section(name: str, lines: Iterable[str]) -> Iterator[str]:
    """A headed part of a plan, line by line."""
    yield ""
    yield name
    yield from (f"  {line}".rstrip() for line in lines)


def fact(name: str, text: str) -> str:
    """One line of a section; an empty name continues the one before."""
    return f"{name:{NAME}}{text}"


def wrapped(text: str) -> list[str]:
    """A note as one or more lines of a section."""
    return textwrap.wrap(
        text, WIDTH - 4, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def count(number: int, thing: str) -> str:
    """`1 model`, `1,200 models`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def closing(notes: Sequence[str], refusals: Sequence[str]) -> Iterator[str]:
    """A plan's notes, and whether something stands against a run."""
    if notes:
        yield from section("Notes", [line for note in notes for line in wrapped(note)])
    yield ""
    yield f"{count(len(refusals), 'thing')} against a run:" if refusals else "Nothing stands against a run."
