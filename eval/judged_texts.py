"""What one judge says of each text that it was shown, whoever gave it; repeats put together.

Letters in shapes: N rows of a table, K slots, U distinct texts, R repeats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.scores import AXES, CODE, SPREADS

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Hashes = NDArray[np.uint64]

VALUED = tuple(axis for axis in AXES if axis not in ("refusal", "correct", "bits_per_byte", *SPREADS))
SLOTS: Mapping[str, tuple[str, ...]] = {
    **{axis: (axis,) for axis in VALUED},
    "refusal": ("refusal", "compliance"),
    "correct": ("correct",),
}
"""Axes of a score table that the store's scores fill, with the store's names of them."""
SLOT = (
    "CASE axis "
    + " ".join(f"WHEN '{name}' THEN {number}" for number, names in enumerate(SLOTS.values()) for name in names)
    + " END"
)
"""SQL: the number of a score's slot."""
VALUE = f"coalesce(value, {CODE}, CASE label WHEN 'right' THEN 1 WHEN 'wrong' THEN 0 END)::DOUBLE"
"""SQL: a score as a number."""


@dataclass(frozen=True, slots=True)
class JudgedTexts:
    """Distinct texts that one judge was shown, each under the hash of all that it was shown."""

    shown: Hashes
    """(U,), rising."""
    scored: Mask
    """(U,): whether one of its judgements has scores."""
    failed: Mask
    """(U,): whether all of them failed."""
    error: NDArray[np.object_]
    """(U,): kind of error, of several the last by name; None where none failed."""
    axes: Mapping[str, Floats]
    """(U,) by axis, medians over repeats; NaN where there is no score."""

    @classmethod
    def none(cls) -> JudgedTexts:
        """Of one text that nobody was shown, so that places can be looked up."""
        nothing = np.zeros(1, dtype=bool)
        axes = {axis: np.full(1, np.nan) for axis in (*SLOTS, *SPREADS)}
        return cls(np.zeros(1, dtype=np.uint64), nothing, nothing, np.full(1, None, dtype=object), axes)


def found_in(known: Hashes, asked: Hashes) -> tuple[NDArray[np.int64], Mask]:
    """Where each of `asked` (N,) stands in `known`, which rises, and whether it does; where not, the place is any."""
    if not known.size:
        return np.zeros(asked.size, dtype=np.int64), np.zeros(asked.size, dtype=bool)
    at = np.searchsorted(known, asked)
    at[at == known.size] = 0
    return at, known[at] == asked


def judged_texts(judgements: Mapping[str, NDArray[Any]], scores: Mapping[str, NDArray[Any]]) -> JudgedTexts:
    """Put together what was read.

    judgements: columns `judgement` and `shown` (hashes) and `error`, (N,). scores: columns `judgement`,
    `slot` and `value`, those of other judges among them.
    """
    values = _by_judgement(judgements["judgement"], scores)
    shown, text, counts = np.unique(judgements["shown"], return_inverse=True, return_counts=True)
    error = or_none(judgements["error"])
    failures = np.flatnonzero(error.astype(bool))
    grid = _by_repeat(values, text, counts)
    axes = {axis: _middle(grid[slot], axis) for slot, axis in enumerate(SLOTS)}
    spreads = {name: _spread(grid[list(SLOTS).index(axis)]) for name, axis in SPREADS.items()}
    return JudgedTexts(
        shown=shown,
        scored=np.logical_not(np.isnan(grid).all(axis=(0, 2))),
        failed=np.bincount(text[failures], minlength=shown.size) == counts,
        error=_last_by_name(text[failures], error[failures], shown.size),
        axes=axes | spreads,
    )


def or_none(values: NDArray[Any]) -> NDArray[np.object_]:
    """A column of texts (N,) with None for NULL."""
    return np.array(values.tolist(), dtype=object)


def _by_judgement(names: Hashes, scores: Mapping[str, NDArray[Any]]) -> Floats:
    """Scores (K, N) of N judgements, NaN where there is none."""
    order, by = np.argsort(names), np.argsort(scores["judgement"])  # in order, a million are found four times as fast
    at, known = found_in(names[order], scores["judgement"][by])
    owner, mine = order[at][known], by[known]
    values = np.full((len(SLOTS), names.size), np.nan)
    values[scores["slot"][mine], owner] = scores["value"][mine]
    return values


def _by_repeat(values: Floats, text: NDArray[np.int64], counts: NDArray[np.int64]) -> Floats:
    """Scores (K, U, R) of the texts that each judgement is of."""
    order = np.argsort(text, kind="stable")
    first = np.cumsum(counts) - counts
    repeat = np.arange(text.size) - np.repeat(first, counts)
    grid = np.full((values.shape[0], counts.size, int(counts.max(initial=1))), np.nan)
    grid[:, text[order], repeat] = values[:, order]
    return grid


def _middle(repeats: Floats, axis: str) -> Floats:
    """One value of several (U, R): the median, of labels the lower middle one, of right and wrong the highest."""
    if repeats.shape[1] == 1:
        return repeats[:, 0]
    in_order = np.sort(repeats, axis=1)  # NaN last
    n = np.sum(~np.isnan(in_order), axis=1)
    if axis == "correct":
        return _nth(in_order, n - 1)
    lower = _nth(in_order, (n - 1) // 2)
    return lower if axis == "refusal" else (lower + _nth(in_order, n // 2)) / 2


def _nth(in_order: Floats, place: NDArray[np.int64]) -> Floats:
    """(U,): of each row the value at its place, or at the nearest that there is."""
    found: Floats = np.take_along_axis(in_order, np.clip(place, 0, in_order.shape[1] - 1)[:, None], axis=1)[:, 0]
    return found


def _spread(repeats: Floats) -> Floats:
    """The highest minus the lowest of at least two values in (U, R); NaN where there are fewer."""
    in_order = np.sort(repeats, axis=1)
    n = np.sum(~np.isnan(in_order), axis=1)
    return np.where(n > 1, _nth(in_order, n - 1) - in_order[:, 0], np.nan)


def _last_by_name(text: NDArray[np.int64], error: NDArray[np.object_], size: int) -> NDArray[np.object_]:
    found = np.full(size, None, dtype=object)
    for place, kind in zip(text.tolist(), error.tolist(), strict=True):
        found[place] = max(kind, found[place] or "")
    return found
