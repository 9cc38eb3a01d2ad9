"""How often one kind of failure happens, by category and column; a column is one ratio or one reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dashboard.failures.kinds import Looked
from dashboard.failures.outcomes import Outcomes, Prompts
from dashboard.store.queries import Checkpoint


@dataclass(frozen=True, slots=True)
class ColumnOf:
    """One column: the merges of a ratio, one for each mask seed shown, or a reference."""

    label: str
    ratio: float | None
    """None for references."""
    members: tuple[Checkpoint, ...]

    def nearest_seed(self, mask_seed: int | None) -> Checkpoint:
        """Which member a click means: the one with the picked checkpoint's mask seed, else the first."""
        return next((one for one in self.members if one.mask_seed == mask_seed), self.members[0])


@dataclass(frozen=True, slots=True)
class Part:
    """Failures of one checkpoint."""

    checkpoint: Checkpoint
    failed: int
    among: int


@dataclass(frozen=True, slots=True)
class Tally:
    """Failures of one category in one column."""

    category: str
    """First level; empty for all categories."""
    column: ColumnOf
    apart: tuple[Part, ...]
    """Of each member."""

    @property
    def failed(self) -> int:
        """Answers that fail, of all members."""
        return sum(part.failed for part in self.apart)

    @property
    def among(self) -> int:
        """Answers that could."""
        return sum(part.among for part in self.apart)


def columns(checkpoints: Sequence[Checkpoint], mask_seed: int | None) -> list[ColumnOf]:
    """Ratios rising, then references in their order. mask_seed: merges of this one alone; None: of all, together."""
    merges: dict[float, list[Checkpoint]] = {}
    for one in checkpoints:
        if one.ratio is not None and mask_seed in (None, one.mask_seed):
            merges.setdefault(one.ratio, []).append(one)
    ratios = [ColumnOf(some[0].handle.split("@")[0], ratio, tuple(some)) for ratio, some in sorted(merges.items())]
    return ratios + [ColumnOf(one.handle, None, (one,)) for one in checkpoints if one.ratio is None]


def tallies(looked: Looked, prompts: Prompts, found: Mapping[str, Outcomes], shown: Sequence[ColumnOf]) -> list[Tally]:
    """Category after category, all of them first; cells without an answer that could fail are left out."""
    names, place = _tops(prompts)
    counts = {
        one.checkpoint_id: _counts(looked, prompts, found[one.checkpoint_id], place, len(names))
        for column in shown
        for one in column.members
    }
    made: list[Tally] = []
    for row, name in enumerate(["", *names]):
        for column in shown:
            apart = tuple(Part(one, *counts[one.checkpoint_id][:, row].tolist()) for one in column.members)
            tally = Tally(name, column, apart)
            if tally.among:
                made.append(tally)
    return made


def _counts(looked: Looked, prompts: Prompts, some: Outcomes, place: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Failed and among, (2, 1 + rows): all categories first."""
    made = np.zeros((2, rows + 1), dtype=np.int64)
    for index, mask in enumerate((looked.failed(some, prompts), looked.among(some, prompts))):
        made[index, 1:] = np.bincount(place[some.item[mask]], minlength=rows)
        made[index, 0] = mask.sum()
    return made


def _tops(prompts: Prompts) -> tuple[list[str], NDArray[np.int64]]:
    """First levels of all categories, and each item's place among them (I,)."""
    names, place = np.unique(
        np.array([(category or ("",))[0] for category in prompts.categories], dtype=np.str_), return_inverse=True
    )
    return [str(name) for name in names], place.astype(np.int64).reshape(-1)
