"""Estimates with intervals: pure functions of arrays, seeded, vectorised over checkpoints.

Letters in shapes: C checkpoints, I items, G groups (clusters of items that go together), D bootstrap draws, M sums
that a statistic is made of (numerators and denominators), K ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit

from eval.spread import degrees, excess, filled_groups, residuals, variance

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
"""From sums (M, ...) to values (...); NaN where undefined."""

CONFIDENCE = 0.95
DRAWS = 2000
DOUBT = 0.3
"""Share of one further group that might stand at either end of the scale, unseen so far.

It keeps intervals of a dozen groups from being too short. Fixed by simulation (`benchmarks/coverage.py`), like FURTHER.
"""
FURTHER = 1.5
"""Groups that might still differ like those that carry a difference's variance."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """One metric of one checkpoint, or one difference."""

    value: float | None
    """None where it is undefined; `note` says why."""
    low: float | None
    """Lower end of the two-sided 95 % interval."""
    high: float | None
    """Upper end."""
    n: int
    """Items that went into the value."""
    n_unscored: int
    """Items asked but without any score."""
    worst: float | None
    """The value with every unscored answer at its worst."""
    best: float | None
    """The value with every unscored answer at its best."""
    note: str | None = None
    """Why there is no value; None where there is one."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """`Estimate` as columns, each (C,); NaN where there is no value."""

    value: Floats
    low: Floats
    high: Floats
    n: NDArray[np.int64]
    n_unscored: NDArray[np.int64]
    worst: Floats
    best: Floats


@dataclass(frozen=True, slots=True)
class Interval:
    """Ends of C intervals, each (C,)."""

    low: Floats
    high: Floats


def group_draws(strata: NDArray[np.int64], seed: int, draws: int = DRAWS) -> Floats:
    """How often each group is in each bootstrap draw: (D, G). `strata` (G,) holds each group's stratum.

    Every stratum keeps its number of groups. The same seed gives the same draws, so all checkpoints share them.
    """
    rng = np.random.default_rng(seed)
    counts = np.empty((draws, strata.size))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        picked = rng.integers(members.size, size=(draws, members.size)) + np.arange(draws)[:, None] * members.size
        counts[:, members] = np.bincount(picked.ravel(), minlength=draws * members.size).reshape(draws, -1)
    return counts


def ratio_mean(sums: Floats) -> Floats:
    """Mean of K ratios: sums (2K, ...) hold K numerators, then K denominators."""
    half = sums.shape[0] // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = sums[:half] / sums[half:]
    mean: Floats = ratios.mean(axis=0)
    return mean


def f1(sums: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN) from sums (3, ...) = TP, FP, FN; NaN where all three are 0.

    3 true positives, 1 false positive, 2 false negatives: 6 / 9 = 0.667.
    """
    hits, false_alarms, misses = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        value: Floats = 2 * hits / (2 * hits + false_alarms + misses)
    return value


def wilson(p: Floats, n: Floats, dof: Floats) -> Interval:
    """Wilson's score interval (1927) for a share p of n, with Student's quantile at `dof` degrees of freedom.

    0 of 60: [0, 0.062] with dof 59. n = 0 gives [0, 1].
    """
    z2 = stdtrit(np.maximum(dof, 1.0), 0.5 + CONFIDENCE / 2) ** 2
    n = np.maximum(n, 1e-9)
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = np.sqrt(z2 * (np.clip(p * (1 - p), 0, None) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Interval(np.clip(np.minimum(centre - half, p), 0, 1), np.clip(np.maximum(centre + half, p), 0, 1))


def effective_n(numerators: Floats, denominators: Floats, n: Floats, repeats: Floats | float = 1) -> Floats:
    """How many independent items a share is worth under clustering: (C,).

    numerators, denominators (C, G) are the group sums of a share; n (C,) its items. The design effect is the
    linearised variance of the ratio between groups over p (1 - p) / n (Kish 1965); it counts as at least 1/repeats
    (answers per item, one number or (C,); infinite where nothing bounds it). Where the share is 0 or 1 nothing tells
    how alike a group is, so each group counts once.
    """
    sums = np.stack([numerators, denominators])
    p, groups = ratio_mean(sums.sum(axis=2)), filled_groups(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        least = p * (1 - p) / (n * repeats)
    return _worth(p, np.maximum(variance(residuals(sums), groups), least), np.minimum(groups, n))


@dataclass(frozen=True, slots=True)
class Share:
    """A metric of C checkpoints as Wilson's interval takes it: a share of so many independent items."""

    p: Floats
    """(C,), 0-1."""
    n: Floats
    """(C,): how many."""
    dof: Floats
    """(C,): degrees of freedom of Student's t."""
    value: Statistic
    """From shares (..., C) to the metric; rising."""

    @property
    def interval(self) -> Interval:
        """Of the metric."""
        unit = wilson(self.p, self.n, self.dof)
        return Interval(self.value(unit.low), self.value(unit.high))


def share_of_items(numerators: Floats, denominators: Floats, n: Floats, repeats: Floats | float = 1) -> Share:
    """A share from its group sums (C, G); n (C,) and repeats as in `effective_n`.

    Where every group is one answer, the variance follows from the share and is not estimated.
    """
    sums = np.stack([numerators, denominators])
    total = sums.sum(axis=2)
    p = np.divide(total[0], total[1], out=np.zeros_like(total[1]), where=total[1] > 0)
    groups = filled_groups(sums)
    size = effective_n(numerators, denominators, n, repeats)
    doubted, dof = _with_doubt(size, residuals(sums), groups)
    single = np.equal(repeats, 1) & (n <= groups)
    return Share(p, np.where(single, size, doubted), np.where(single, groups - 1, dof), lambda unit: unit)


def share_of_mean(sums: Floats, low: float, high: float) -> Share:
    """A mean of K ratios on [low, high] as a share, on the scale stretched to [0, 1].

    sums (2K, C, G) as in `residuals`. The effective n is p (1 - p) over the variance between groups, p the stretched
    mean; where all groups agree, each counts once. Groups above `high` (bits per byte of a model worse than noise)
    stretch the scale to the highest of them.
    """
    half = sums.shape[0] // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.where(sums[half:] > 0, sums[:half] / sums[half:], low).max(axis=(0, 2), initial=high)
    span = top - low
    p = np.clip((ratio_mean(sums.sum(axis=2)) - low) / span, 0, 1)
    moves, groups = residuals(sums) / span[:, None], filled_groups(sums)
    size, dof = _with_doubt(_worth(p, variance(moves, groups), groups), moves, groups)
    return Share(p, size, dof, lambda unit: low + span * unit)


def share_of_f1(sums: Floats, repeats: Floats | float = 1) -> Share:
    """F1 as a share from group sums (3, C, G) = TP, FP, FN; repeats: answers per item.

    F1 = 2 J / (1 + J) with J = TP / (TP + FP + FN), a share. Where items have several answers, hits and union go
    together, and J varies less than any share of so many answers.
    """
    union = sums.sum(axis=0)
    share = share_of_items(sums[0], union, union.sum(axis=1), np.where(np.equal(repeats, 1), 1.0, np.inf))
    return replace(share, value=lambda unit: 2 * unit / (1 + unit))


def clustered_wilson(numerators: Floats, denominators: Floats, n: Floats, repeats: Floats | float = 1) -> Interval:
    """Wilson's interval of `share_of_items`."""
    return share_of_items(numerators, denominators, n, repeats).interval


def bounded_mean(sums: Floats, low: float, high: float) -> Interval:
    """Wilson's interval of `share_of_mean`, on the mean's own scale."""
    return share_of_mean(sums, low, high).interval


def f1_interval(sums: Floats, repeats: Floats | float = 1) -> Interval:
    """Wilson's interval of `share_of_f1`, carried over to F1."""
    return share_of_f1(sums, repeats).interval


def paired_interval(value: Floats, moves: Floats, groups: Floats, span: float) -> Interval:
    """Interval of a difference on [-span, span] from its groups' residuals (C, G), of which `groups` (C,) are filled.

    It always holds the value, also one beyond the scale.
    Student's t with `degrees` of freedom; the variance grows as if FURTHER more groups had differed like those
    that carry it. Where no group differs, each side reaches as far as Wilson's bound for 0 differing groups:
    equal answers are no certainty. Two groups or fewer tell nothing: their interval is the whole scale.
    """
    spread = variance(moves, groups) * (1 + FURTHER * excess(moves, groups))
    reach = stdtrit(np.maximum(degrees(moves, groups), 1.0), 0.5 + CONFIDENCE / 2) * np.sqrt(spread)
    none = span * wilson(np.zeros_like(value), groups, groups - 1).high
    reach = np.where(np.abs(moves).max(axis=1, initial=0.0) < 1e-12, none, reach)
    reach = np.where(groups <= 2, 2 * span, reach)
    # a difference in bits per byte with a model worse than noise lies off the scale
    low, high = np.minimum(-span, value), np.maximum(span, value)
    return Interval(np.maximum(value - reach, low), np.minimum(value + reach, high))


def mean_of_two(sums: Floats, repeats: Floats | float = 1) -> Interval:
    """Interval of (p1 + p2) / 2 from the two shares' own Wilson intervals, combined by MOVER (Zou 2008).

    sums (4, C, G) are two numerators, then two denominators. Groups that hold items of both shares make them
    correlated; the correlation is that of the linearised group residuals. A bootstrap would take a share of 0 or 1
    for certain.
    """
    values = sums[:2].sum(axis=2) / np.maximum(sums[2:].sum(axis=2), 1e-300)
    ends = [clustered_wilson(s, n, n.sum(axis=1), repeats) for s, n in zip(sums[:2], sums[2:], strict=True)]
    down = [value - end.low for value, end in zip(values, ends, strict=True)]
    up = [end.high - value for value, end in zip(values, ends, strict=True)]
    first, second = sums[:2] - values[:, :, None] * sums[2:]
    norm = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    rho = np.divide((first * second).sum(axis=1), norm, out=np.zeros_like(norm), where=norm > 1e-12)
    centre = values.mean(axis=0)
    return Interval(centre - _length(down, rho) / 2, centre + _length(up, rho) / 2)


def bca(statistic: Statistic, sums: Floats, counts: Floats) -> Interval:
    """Bias-corrected and accelerated bootstrap interval (Efron 1987) over groups.

    sums (M, C, G) are group sums, counts (D, G) the draws. Draws in which the statistic is undefined count as its
    value. Where no draw differs from the value both ends equal it: the caller knows a better interval then.
    """
    value = statistic(sums.sum(axis=2))
    draws = statistic(np.einsum("mcg,dg->mdc", sums, counts, optimize=True))
    draws = np.sort(np.where(np.isfinite(draws), draws, value), axis=0)
    left_out = statistic(sums.sum(axis=2, keepdims=True) - sums)
    left_out = np.where(np.isfinite(left_out), left_out, value[:, None])
    pull = left_out.mean(axis=1, keepdims=True) - left_out
    scale = (pull**2).sum(axis=1) ** 1.5
    acceleration = np.divide((pull**3).sum(axis=1), 6 * scale, out=np.zeros_like(scale), where=scale > 1e-12)
    below = (draws < value - 1e-12).mean(axis=0) + 0.5 * (np.abs(draws - value) <= 1e-12).mean(axis=0)
    bias = ndtri(np.clip(below, 1 / draws.shape[0], 1 - 1 / draws.shape[0]))
    low, high = (_at(draws, bias, acceleration, side) for side in (0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2))
    return Interval(np.minimum(low, value), np.maximum(high, value))


def _worth(p: Floats, spread: Floats, groups: Floats) -> Floats:
    """How many independent items give a share p the variance `spread`; where p or its groups agree, `groups`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = p * (1 - p) / spread
    told = (p > 1e-12) & (p < 1 - 1e-12) & (spread > 1e-18)  # equal groups differ by rounding alone
    chosen: Floats = np.where(told, size, groups)
    return chosen


def _with_doubt(size: Floats, moves: Floats, groups: Floats) -> tuple[Floats, Floats]:
    """The effective n where it rests on an estimated variance, and its degrees of freedom."""
    told = np.abs(moves).max(axis=1, initial=0.0) > 1e-12
    doubt = np.where(told, DOUBT / np.maximum(groups, 1) ** 2, 0.0)
    return 1 / (1 / np.maximum(size, 1e-9) + doubt), degrees(moves, groups)


def _length(sides: Sequence[Floats], rho: Floats) -> Floats:
    first, second = sides
    length: Floats = np.sqrt(np.maximum(first**2 + second**2 + 2 * rho * first * second, 0))
    return length


def _at(ordered: Floats, bias: Floats, acceleration: Floats, side: float) -> Floats:
    z = bias + ndtri(side)
    share = ndtr(bias + z / (1 - acceleration * z))
    place = np.clip(share * (ordered.shape[0] + 1) - 1, 0, ordered.shape[0] - 1)
    under = np.floor(place).astype(np.int64)
    over = np.minimum(under + 1, ordered.shape[0] - 1)
    columns = np.arange(ordered.shape[1])
    value: Floats = ordered[under, columns] + (place - under) * (ordered[over, columns] - ordered[under, columns])
    return value


def frontier(x: Floats, y: Floats) -> NDArray[np.bool_]:
    """Which points no other point beats: (N,) True where none is at least as good on both and better on one.

    x and y are turned so that higher is better. A point with a NaN is never on the frontier and beats nobody.
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = np.where(known, x, -np.inf), np.where(known, y, -np.inf)
    as_good = (x[:, None] >= x[None, :]) & (y[:, None] >= y[None, :])
    better = as_good & ((x[:, None] > x[None, :]) | (y[:, None] > y[None, :]))
    unbeaten: NDArray[np.bool_] = known & ~better.any(axis=0)
    return unbeaten
