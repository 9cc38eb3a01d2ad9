"""One verdict a prompt: the majority over its answers; what flips between points, and what goes to and fro along the
ratio.

Letters in shapes: C checkpoints, I items, S answers per item, R ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from eval.metrics import Metric
from eval.scores import ScoreTable
from eval.statistics import Floats


@dataclass(frozen=True, slots=True)
class Flips:
    """Prompts whose verdict differs between two points."""

    better: int
    """Only the first point has the better verdict."""
    worse: int
    """Only the second one has."""
    same: int
    """Both have the same verdict."""
    p: float
    """Two-sided p-value of McNemar's exact test: flips of independent prompts go either way with chance 1/2."""


@dataclass(frozen=True, slots=True)
class Wavering:
    """Prompts whose verdict goes to and fro along the ratio."""

    items: NDArray[np.int64]
    """Numbers of the table's items, (W,), the most wavering first."""
    changes: NDArray[np.int64]
    """(W,): changes of the verdict beyond the one that a frontier explains."""
    verdicts: NDArray[np.int64]
    """(W, R): 1 yes, 0 no, -1 where there is no majority, ratios rising."""


def verdicts(table: ScoreTable, metric: Metric) -> Floats:
    """The majority of each item's scored answers, (C, I): 1 where most count, 0 where most do not.

    NaN where none is scored, where as many count as do not, and where the metric does not look. Raises ValueError for
    a metric that is no rate (a slip: only a yes or no has a majority).
    """
    return _majority(_votes(table, metric))


def flips(table: ScoreTable, metric: Metric, a: str, b: str) -> Flips | None:
    """What flips from checkpoint `b` to `a`; ties are no flips. None for a metric that is no rate.

    10 better and 2 worse: p = 2 P(X <= 2), X binomial (12, 1/2): 2 (1 + 12 + 66) / 4096 = 0.039.
    """
    if metric.form != "rate":
        return None
    rows = [table.checkpoints.index(a), table.checkpoints.index(b)]
    first, second = verdicts(table, metric)[rows]
    up, down = int(((first == 1) & (second == 0)).sum()), int(((first == 0) & (second == 1)).sum())
    better, worse = (up, down) if metric.higher_is_better else (down, up)
    p = min(1.0, 2 * float(binom.cdf(min(up, down), up + down, 0.5)))
    return Flips(better, worse, int((first == second).sum()), p)


def wavering(table: ScoreTable, metric: Metric, ratios: Sequence[Sequence[str]]) -> Wavering:
    """Prompts whose verdict changes more than once along the ratio.

    ratios: for each ratio, rising, the ids of its checkpoints, one for each mask seed; all their answers vote. A ratio
    without a majority is passed over: yes, tie, no is one change.
    """
    votes = _votes(table, metric)
    rows = [[table.checkpoints.index(name) for name in names] for names in ratios]
    along = np.stack([_majority(np.concatenate(votes[own], axis=1)[None])[0] for own in rows], axis=1)
    changes = np.array([_changes(row) for row in along], dtype=np.int64)
    order = np.argsort(-changes, kind="stable")
    items = order[changes[order] > 1]
    return Wavering(items, changes[items] - 1, np.nan_to_num(along[items], nan=-1).astype(np.int64))


def _votes(table: ScoreTable, metric: Metric) -> Floats:
    if metric.form != "rate":
        raise ValueError(f"{metric.name} is no rate")
    (part,) = metric.parts
    return np.where((table.items.kind == part.kind)[:, None], part.units(table), np.nan)


def _majority(votes: Floats) -> Floats:
    """From votes (C, I, S) of 1, 0 and NaN to (C, I)."""
    lead = np.nansum(votes * 2 - 1, axis=2)
    return np.where(lead == 0, np.nan, (lead > 0).astype(np.float64))


def _changes(row: Floats) -> int:
    known = row[~np.isnan(row)]
    return int((known[1:] != known[:-1]).sum())
