"""Which categories of harm triples are about, held against the taxonomy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mergescope.ground.errors import DataError
from trainer.taxonomy.categories import LEVELS, NO_HARM, Category, Level, categories, category, known, misplaced
from trainer.triples import Triple


@dataclass(frozen=True, slots=True)
class Covered:
    """One harm type of the taxonomy."""

    area: str
    """Japanese name of its risk area."""
    type: str
    """Its Japanese name."""
    type_en: str
    """Its English name."""
    triples: int
    harms: int
    """How many of its specific harms have a triple."""
    harms_known: int
    """How many it has, in AnswerCarefully v2 and Do-Not-Answer together."""
    missing: tuple[str, ...]
    """Japanese names of the harms without any triple."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A category that the taxonomy does not have: a misspelling, or one of the user's own."""

    level: Level
    name: str
    triples: int
    hint: str
    """What it may have meant."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """All of it."""

    types: tuple[Covered, ...]
    """All harm types, in the taxonomy's order."""
    no_harm: int
    """Triples that are about no harm, or not sorted."""
    unknown: tuple[Unknown, ...]
    """Names that are not in the taxonomy, the widest level of each triple alone, the commonest first."""
    misplaced: tuple[str, ...]
    """Triples whose narrower category belongs to another wide one than they say."""


def coverage(triples: Sequence[Triple]) -> Coverage:
    """Counts by category; names are found in either language."""
    harmful = [triple for triple in triples if triple.meta["risk-area"] != NO_HARM]
    counts = Counter(_path(triple) for triple in harmful)
    kinds = tuple(_covered(one, counts) for one in categories() if one.level == "harm-type")
    strange = Counter(name for triple in harmful if (name := _unknown(triple)) is not None)
    unknown = tuple(Unknown(*name, count, _hint(*name)) for name, count in strange.most_common())
    odd = tuple(triple.idx for triple in harmful if misplaced(triple.meta) is not None)
    return Coverage(kinds, len(triples) - len(harmful), unknown, odd)


def _path(triple: Triple) -> tuple[Category | None, Category | None]:
    return known("harm-type", triple.meta["harm-type"]), known("specific-harm", triple.meta["specific-harm"])


def _covered(kind: Category, counts: Counter[tuple[Category | None, Category | None]]) -> Covered:
    own = [one for one in categories() if one.parent == kind]
    of_kind = {harm: count for (found, harm), count in counts.items() if found == kind}
    missing = tuple(one.ja for one in own if one not in of_kind)
    area = kind.parent.ja if kind.parent is not None else ""
    return Covered(area, kind.ja, kind.en, sum(of_kind.values()), len(own) - len(missing), len(own), missing)


def _unknown(triple: Triple) -> tuple[Level, str] | None:
    return next(((level, triple.meta[level]) for level in LEVELS if known(level, triple.meta[level]) is None), None)


def _hint(level: Level, name: str) -> str:
    try:
        category(level, name)
    except DataError as error:
        return error.cure or ""
    return ""


def summary(found: Coverage) -> Iterator[str]:
    """The table in words, numbers first: their columns stand in line whatever the script of the names."""
    harms = f"{sum(one.harms for one in found.types)} of {sum(one.harms_known for one in found.types)}"
    yield f"coverage: {sum(one.triples > 0 for one in found.types)} of {len(found.types)} harm types, {harms} harms"
    yield "  triples  harms  harm type"
    for one in found.types:
        yield f"  {one.triples:7,}  {one.harms:2}/{one.harms_known:<2}  {one.type} ({one.type_en})"
    if found.no_harm:
        yield f"  {found.no_harm:7,}         about no harm, or not sorted"
