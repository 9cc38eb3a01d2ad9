"""How much a statistic would vary with other groups of items, to first order.

Letters in shapes: C checkpoints, G groups (clusters of items that go together), K ratios that a statistic averages.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def residuals(sums: Floats) -> Floats:
    """By how much each group moves a mean of K ratios, to first order: (C, G), summing to 0.

    sums (2K, C, G) are K numerators, then K denominators. Of one ratio p it is (numerator - p denominator) / total.
    """
    half = sums.shape[0] // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        total = sums.sum(axis=2, keepdims=True)
        moves: Floats = ((sums[:half] - total[:half] / total[half:] * sums[half:]) / total[half:]).mean(axis=0)
    return moves


def filled_groups(sums: Floats) -> Floats:
    """In how many groups there is anything to count: (C,). sums (2K, C, G) as in `residuals`."""
    filled: Floats = (sums[sums.shape[0] // 2 :] > 0).any(axis=0).sum(axis=1).astype(np.float64)
    return filled


def carrying_groups(first: Floats, second: Floats) -> Floats:
    """In how many groups both sides of a difference have something to count: (C,), of several ratios in the fewest.

    first, second (2K, C, G) as in `residuals`. Two ratios of different items (balance) are as sure as the one
    that rests on fewer groups.
    """
    half = first.shape[0] // 2
    counts = [(side[half:] > 0).sum(axis=2).min(axis=0) for side in (first, second)]
    carrying: Floats = np.minimum(*counts).astype(np.float64)
    return carrying


def variance(moves: Floats, groups: Floats) -> Floats:
    """Variance of a statistic with `residuals` moves (C, G), of which `groups` (C,) are filled: (C,)."""
    spread: Floats = (moves**2).sum(axis=1) * groups / np.maximum(groups - 1, 1)
    return spread


def excess(moves: Floats, groups: Floats) -> Floats:
    """How far a variance rests on few groups: 1/K - 1/G, K = (sum of squares)^2 / sum of fourth powers of `moves`.

    (C,), from 0 (all G groups differ equally) to nearly 1 (one differs from the rest). The variance has 2 / excess
    degrees of freedom (Satterthwaite 1946).
    """
    squares = moves**2
    with np.errstate(divide="ignore", invalid="ignore"):
        few = (squares**2).sum(axis=1) / squares.sum(axis=1) ** 2 - 1 / groups
    chosen: Floats = np.where(np.isfinite(few), np.maximum(few, 0.0), 0.0)
    return chosen


def degrees(moves: Floats, groups: Floats) -> Floats:
    """Student's degrees of freedom of `variance`: 2 / excess, at most groups - 1."""
    freedom: Floats = np.minimum(2 / np.maximum(excess(moves, groups), 1e-9), groups - 1)
    return freedom
