"""Categories of harm by name, in Japanese or English: those of AnswerCarefully v2 and Do-Not-Answer."""

from __future__ import annotations

import difflib
import itertools
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from mergescope.ground.errors import DataError

Level = Literal["risk-area", "harm-type", "specific-harm"]
LEVELS: tuple[Level, ...] = ("risk-area", "harm-type", "specific-harm")
"""Widest first, as a triple's `meta` names them."""
Origin = Literal["ac", "dna"]
"""AnswerCarefully v2 or Do-Not-Answer."""
NO_HARM = "general"
"""What all levels of a triple say whose prompt is about no harm, or that nobody has sorted."""
_FILE = Path(__file__).with_name("taxonomy.toml")


@dataclass(frozen=True, slots=True)
class Category:
    """One name of the taxonomy."""

    level: Level
    ja: str
    """Japanese name: AnswerCarefully's, or a translation of ours where only Do-Not-Answer has the category."""
    en: str
    """English name: Do-Not-Answer's, or a translation of ours where only AnswerCarefully has the category."""
    origins: frozenset[Origin]
    """The taxonomies that have it."""
    parent: Category | None
    """The category one level wider; None of a risk area."""


@cache
def categories() -> tuple[Category, ...]:
    """All categories, each parent before its children."""
    return tuple(_read(tomllib.loads(_FILE.read_text(encoding="utf-8"))))


def known(level: Level, name: str) -> Category | None:
    """The category of that name, in either language; case, width and blanks do not count. None where there is none."""
    return _by_name().get((level, _plain(name)))


def category(level: Level, name: str) -> Category:
    """The same, but raises DataError, with the likest names, where there is none."""
    if (found := known(level, name)) is None:
        names = [text for one in categories() if one.level == level for text in (one.ja, one.en)]
        alike = difflib.get_close_matches(name, names, 3, 0.5)
        cure = f"did you mean {' or '.join(alike)}?" if alike else f"known: {', '.join(_names(level))}"
        raise DataError(f"no such {level} in the taxonomy", value=name, cure=cure)
    return found


def misplaced(meta: Mapping[str, str]) -> Level | None:
    """The first level whose category belongs to another than the level above says; None where all agree.

    Categories that the taxonomy does not know agree with everything.
    """
    for wide, narrow in itertools.pairwise(LEVELS):
        above, below = known(wide, meta[wide]), known(narrow, meta[narrow])
        if above is not None and below is not None and below.parent != above:
            return narrow
    return None


def _names(level: Level) -> Iterator[str]:
    """Japanese names, as many as fit on a line."""
    names = [one.ja for one in categories() if one.level == level]
    yield from names[:12]
    if len(names) > 12:
        yield f"and {len(names) - 12} more"


@cache
def _by_name() -> dict[tuple[Level, str], Category]:
    return {(one.level, _plain(name)): one for one in categories() for name in (one.ja, one.en)}


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _read(raw: dict[str, Any]) -> Iterator[Category]:
    both: frozenset[Origin] = frozenset(("ac", "dna"))
    for area in raw["area"]:
        yield (wide := Category("risk-area", area["ja"], area["en"], both, None))
        for kind in area["type"]:
            yield (middle := Category("harm-type", kind["ja"], kind["en"], both, wide))
            for harm in kind["harm"]:
                origins = frozenset((harm["in"],)) if "in" in harm else both
                yield Category("specific-harm", harm["ja"], harm["en"], origins, middle)
