"""All points against one baseline, with Holm's correction for looking at many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from eval.comparison import paired_difference
from eval.metrics import Metric
from eval.paired import contrast
from eval.scores import ScoreTable
from eval.statistics import Estimate, Floats
from eval.verdicts import Flips, flips


@dataclass(frozen=True, slots=True)
class Against:
    """One point against the baseline, by one metric."""

    checkpoint_id: str
    difference: Estimate
    """The point minus the baseline, on the prompts that both have scores for; its interval is for this point alone."""
    p: float
    """Two-sided p-value that the true difference is 0, over all points together (Holm)."""
    flips: Flips | None
    """Prompts whose majority verdict flips, `p` over all points together too; None for a metric that is no rate."""


def against_baseline(table: ScoreTable, metric: Metric, points: Sequence[str], baseline: str) -> list[Against]:
    """Each of `points` against `baseline` (ids), in their order.

    A prompt counts once, with the mean over its answers; p is of Student's t, the difference over its standard error,
    with a degree of freedom less than groups that both have scores in. A point without a value has p 1.
    """
    pairs = contrast(table, metric, table.checkpoints.index(baseline))
    rows = [table.checkpoints.index(name) for name in points]
    t = np.abs(np.nan_to_num(pairs.difference[rows])) / pairs.error[rows]
    single = 2 * stdtr(np.maximum(pairs.filled[rows] - 1, 1), -t)
    found = [flips(table, metric, name, baseline) for name in points]
    return [
        Against(name, paired_difference(table, metric, name, baseline), float(p), flip)
        for name, p, flip in zip(points, holm(single), _corrected(found), strict=True)
    ]


def holm(p: Floats) -> Floats:
    """Holm's step-down correction (1979) of p-values (N,): each is the chance of any such find if all were 0.

    .01, .04, .03: sorted .01 x 3, .03 x 2, .04 x 1, never falling: .03, .06, .06.
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    corrected = np.empty(p.size)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _corrected(found: Sequence[Flips | None]) -> Iterator[Flips | None]:
    all_p = holm(np.array([1.0 if flip is None else flip.p for flip in found]))
    for flip, p in zip(found, all_p, strict=True):
        yield None if flip is None else Flips(flip.better, flip.worse, flip.same, float(p))
