"""What is in preference data, and what would stop a training on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from trainer.data.coverage import Coverage, coverage
from trainer.data.lengths import Lengths, Ruler, lengths
from trainer.data.overlap import Overlap, overlaps
from trainer.data.repeats import Repeat, repeats
from trainer.triples import Triple


@dataclass(frozen=True, slots=True)
class DataReport:
    """All that is known of some triples."""

    triples: int
    overlaps: tuple[Overlap, ...]
    """With the evaluation's prompts."""
    held_out: int | None
    """Prompts that they were held against; None: there were none to hold them against."""
    repeats: tuple[Repeat, ...]
    lengths: Lengths
    coverage: Coverage


def examine(
    triples: Sequence[Triple], held_out: Collection[str] | None, ruler: Ruler, limits: Sequence[int | None]
) -> DataReport:
    """Report on triples. held_out: prompts of the evaluation; None: not known. limits: tokens that each may have."""
    return DataReport(
        triples=len(triples),
        overlaps=tuple(overlaps(triples, held_out or ())),
        held_out=None if held_out is None else len(set(held_out)),
        repeats=tuple(repeats(triples)),
        lengths=lengths(triples, ruler, limits),
        coverage=coverage(triples),
    )
