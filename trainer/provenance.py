"""Who wrote the triples that a study trains on, under which licence: counts, and never any of their text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trainer.training_data import load_prompts
from trainer.triples import Triple


@dataclass(frozen=True, slots=True)
class DataCount:
    """Triples of one origin; None where the file does not say."""

    source: str | None
    licence: str | None
    made_by: str | None
    triples: int


def counted(files: Iterable[Path], *, unreviewed: bool = False) -> list[DataCount]:
    """The triples of several files and folders of made pairs by origin, the largest share first.

    One that is gone counts as nothing. unreviewed: whether pending pairs count. Raises DataError for a malformed one.
    """
    return origins(row for file in files if file.exists() for row in load_prompts(file, unreviewed=unreviewed))


def origins(triples: Iterable[Triple]) -> list[DataCount]:
    """Triples by origin, the largest share first."""
    counts = Counter((row.source, row.licence, row.made_by) for row in triples)
    found = [DataCount(*origin, number) for origin, number in counts.items()]
    return sorted(found, key=lambda row: (-row.triples, str(row.source), str(row.licence), str(row.made_by)))
