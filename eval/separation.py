"""The best point and those that cannot be told from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from eval.comparison import middle_best
from eval.draws import resample
from eval.measure import collect, statistic_of
from eval.metrics import Metric
from eval.paired import Contrast, contrast, contrasts
from eval.scores import ScoreTable
from eval.statistics import CONFIDENCE

Singles = NDArray[np.float32]
FARTHEST = 6.0
"""No 95 % quantile of the largest error is so many standard errors, of up to 1,000 points.

A group is in a draw about as often as Poisson's law with mean 1 says, and the error holds one group more that pulls as
much as the strongest. By Chernoff's bound such a sum is 6 errors or more with a chance of 3 in 100,000 at most.
"""


@dataclass(frozen=True, slots=True)
class Behind:
    """How far one point is behind the best one."""

    difference: float
    """The best point's metric minus this one's, turned so that above 0 means behind."""
    margin: float
    """What chance alone may make of it, all points looked at together: 95 %; of a point that is far behind, a bound."""

    @property
    def inseparable(self) -> bool:
        """Whether the point cannot be told from the best."""
        return self.difference <= self.margin


@dataclass(frozen=True, slots=True)
class Separation:
    """The inseparable set. It holds the truly best point with 95 % confidence."""

    best: str
    """Id of the point with the best metric; of equal ones the one in the middle."""
    points: Mapping[str, Behind]
    """By id, in the table's order, the best one too; a point without a value is not in it."""

    @property
    def inseparable(self) -> tuple[str, ...]:
        """The ids of the set, the best among them."""
        return tuple(name for name, behind in self.points.items() if behind.inseparable)


def separate(table: ScoreTable, metric: Metric, candidates: Sequence[str], seed: int) -> Separation | None:
    """Tell the best of `candidates` (ids in ratio order) from the others by `metric`; None where none has a value.

    A point stays in the set unless the best one is ahead of it by more than its margin. The margin of a point is its
    standard error times the 95 % quantile, over the draws, of the largest studentised error that any other point's
    paired difference with it has (multiple comparisons with the best, Hsu 1981; the maximum's distribution by
    bootstrap, Romano and Wolf 2005). So if the point is the best in truth, it leaves the set in 5 % of the studies at
    most, whoever seems to be the best.
    """
    table = table.of(candidates)
    values = statistic_of(metric)(collect(table, metric).sums.sum(axis=2)) * (1 if metric.higher_is_better else -1)
    best = middle_best(values)
    if best is None:
        return None
    known = [c for c in range(len(candidates)) if np.isfinite(values[c])]
    ahead = contrast(table, metric, best)
    seen = {c: _far_behind(ahead, c) for c in known}
    near = [c for c in known if seen[c] is None]
    drawn = resample(table, seed)
    moves: Singles | None = None
    for c, own in zip(near, contrasts(table, metric, near), strict=True):
        others = [other for other in known if other != c]
        if moves is None:  # all contrasts look at the same groups
            moves = drawn.counts[:, np.searchsorted(drawn.groups, own.groups)].astype(np.float32) - 1
        quantile = _quantile(own, others, moves, float(own.filled[best]))
        margin = 0.0 if c == best else quantile * float(own.error[best])
        # a pair without common items (NaN) is no evidence against the point
        seen[c] = Behind(max(0.0, float(np.nan_to_num(own.difference[best]))), margin)
    return Separation(candidates[best], {candidates[c]: behind for c, behind in seen.items() if behind is not None})


def _far_behind(best: Contrast, c: int) -> Behind | None:
    """How far checkpoint number `c` is behind the best one, where that is further than any margin; else None."""
    behind = -float(best.difference[c])
    margin = _as_students(FARTHEST, float(best.filled[c])) * float(best.error[c])
    return Behind(behind, margin) if behind > margin else None


def _quantile(own: Contrast, others: Sequence[int], moves: Singles, filled: float) -> float:
    """The 95 % quantile over draws of the largest studentised error among `others`.

    moves (D, G): how often each group is in each draw, minus 1. Single precision takes half the time and is off by a
    millionth, where 2,000 draws leave some hundredths.

    It is at least that of one normal error: where no group differs from another no draw has an error, yet there is one.
    Carried over to Student's t with a degree of freedom less than `filled` groups: the errors are estimated too.
    """
    if not others:
        return 0.0
    errors = (own.pull[others] / own.error[others, None]).astype(np.float32) @ moves.T
    normal = max(float(ndtri(CONFIDENCE)), float(np.quantile(errors.max(axis=0), CONFIDENCE)))
    return _as_students(normal, filled)


def _as_students(normal: float, filled: float) -> float:
    """A quantile of the normal distribution as that of Student's t with a degree of freedom less than groups."""
    return float(stdtrit(max(filled - 1, 1), ndtr(normal)))
