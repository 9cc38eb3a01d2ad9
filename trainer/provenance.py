"""Who wrote the triples that a study trains on, under which licence: counts, and never any of their text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trainer.triples import load_triples


@dataclass(frozen=True, slots=True)
class DataCount:
    """Triples of one origin; None where the file does not say."""

    source: str | None
    licence: str | None
    made_by: str | None
    triples: int


def counted(files: Iterable[Path]) -> list[DataCount]:
    """The triples of several files by origin, the largest share first; a file that is gone counts as nothing.

    Raises DataError for a malformed file.
    """
    origins = Counter(
        (row.source, row.licence, row.made_by) for file in files if file.is_file() for row in load_triples(file)
    )
    found = [DataCount(*origin, number) for origin, number in origins.items()]
    return sorted(found, key=lambda row: (-row.triples, str(row.source), str(row.licence), str(row.made_by)))
