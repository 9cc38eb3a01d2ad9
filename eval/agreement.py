"""How far raters agree beyond chance: pure functions of arrays, seeded, with intervals over clusters.

Letters in shapes: R raters, N rated answers, K classes, G groups (the clusters that are resampled), M sums that a
statistic is made of. A rating that is missing is NaN. All measures here are 1 - observed / expected disagreement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from eval.statistics import Floats, Statistic, bca, clustered_wilson, f1, f1_interval, group_draws, wilson

Disagreement = Callable[[Floats], tuple[Floats, Floats]]
"""From sums (M, ...) to observed and expected disagreement (...), both as shares of the largest possible one."""
NOBODY = "no answer has two ratings"
ONE_CLASS = "all ratings are the same: chance explains any agreement"


@dataclass(frozen=True, slots=True)
class Agreement:
    """One measure of agreement."""

    value: float | None
    """1: always alike; 0: as alike as chance; below: less. None where it is undefined; `note` says why."""
    low: float | None
    """Lower end of the two-sided 95 % interval."""
    high: float | None
    """Upper end."""
    n: int
    """Answers that went into it."""
    note: str | None = None
    """Why there is no value; None where there is one."""

    @property
    def text(self) -> str:
        """`0.73 [0.69, 0.77]`, or why there is none."""
        if self.value is None or self.low is None or self.high is None:
            return f"none ({self.note})"
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Clusters:
    """Which rated answers stand together, and the bootstrap draws that all measures of them share."""

    group: NDArray[np.int64]
    """(N,): number of each answer's group, from 0 without gaps."""
    seed: int

    @classmethod
    def of(cls, names: Sequence[str], seed: int) -> Clusters:
        """By the groups' names, one for each answer."""
        found = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)[1]
        return cls(found.astype(np.int64).reshape(-1), seed)

    @cached_property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.group.max()) + 1 if self.group.size else 0

    @cached_property
    def draws(self) -> Floats:
        """(D, G), as in eval.statistics.group_draws; one stratum."""
        return group_draws(np.zeros(self.count, dtype=np.int64), self.seed)

    def sums(self, values: Floats) -> Floats:
        """Values (..., N) summed by group: (..., G)."""
        rows = [np.bincount(self.group, row, self.count) for row in values.reshape(-1, self.group.size)]
        summed: Floats = np.stack(rows).reshape(*values.shape[:-1], self.count).astype(np.float64)
        return summed


def nominal_kappa(
    first: Floats, second: Floats, classes: int, clusters: Clusters, weight: Floats | None = None
) -> Agreement:
    """Cohen's kappa (1960) of two raters over classes 0 to `classes` - 1; first, second, weight: (N,).

    1 - D_o / D_e: D_o the share of unequal pairs, D_e what the two raters' own frequencies would give by chance.
    Counts 20, 5 / 10, 15: D_o = .3, D_e = .5, kappa .4. weight: how much an answer counts, such as one over the
    probability that it was picked; None: 1. Answers that one of the two did not rate are left out.
    """
    sums, n = _tables(first, second, classes, clusters, weight)
    return _agreement(_unequal(classes), sums, clusters, n)


def quadratic_kappa(
    first: Floats, second: Floats, low: float, high: float, clusters: Clusters, weight: Floats | None = None
) -> Agreement:
    """Kappa with squared distances (Cohen 1968) of two raters on a scale from `low` to `high`.

    From moments, so that ratings need not be whole numbers: D_o = mean (x - y)^2, D_e = var x + var y +
    (mean x - mean y)^2. Ratings 1, 2, 3 and 1, 2, 2: D_o = 1/3, D_e = 2/3 + 2/9 + 1/9 = 1, kappa 2/3.
    """
    known = ~np.isnan(first) & ~np.isnan(second)
    weights = np.where(known, 1.0 if weight is None else weight, 0.0)
    x, y = (np.where(known, (r - low) / (high - low), 0.0) for r in (first, second))
    sums = clusters.sums(weights * np.stack([np.ones_like(x), x, y, x * x, y * y, x * y]))
    return _agreement(_squared, sums, clusters, int(known.sum()))


def nominal_alpha(ratings: Floats, classes: int, clusters: Clusters, weight: Floats | None = None) -> Agreement:
    """Krippendorff's alpha (2011) of any number of raters over classes from 0; ratings: (R, N), NaN where missing.

    weight (N,): how much an answer counts, beside the others; None: all alike.
    """
    sums, n = _coincidences(ratings, classes, clusters, weight)
    return _agreement(lambda some: _of_coincidences(some, classes, ordinal=False), sums, clusters, n)


def ordinal_alpha(ratings: Floats, classes: int, clusters: Clusters) -> Agreement:
    """The same for classes in an order: the distance of two is how many ratings lie between them, squared.

    d(c, k) = (n_c / 2 + n_(c+1) + ... + n_(k-1) + n_k / 2)^2, with n the pairable ratings of each class.
    """
    sums, n = _coincidences(ratings, classes, clusters, None)
    return _agreement(lambda some: _of_coincidences(some, classes, ordinal=True), sums, clusters, n)


def interval_alpha(
    ratings: Floats, low: float, high: float, clusters: Clusters, weight: Floats | None = None
) -> Agreement:
    """The same for numbers on a scale from `low` to `high`, with squared distances; ratings: (R, N).

    From moments: an answer with m ratings adds 2 (m sum x^2 - (sum x)^2) / (m - 1) to n D_o, and
    D_e = 2 (n S2 - S1^2) / (n (n - 1)) over all n pairable ratings.
    """
    known = ~np.isnan(ratings)
    m = known.sum(axis=0)
    pairable = m >= 2
    x = np.where(known & pairable, (ratings - low) / (high - low), 0.0)
    s1, s2 = x.sum(axis=0), (x * x).sum(axis=0)
    apart = np.where(pairable, 2 * (m * s2 - s1**2) / np.maximum(m - 1, 1), 0.0)
    each = np.stack([np.where(pairable, m, 0).astype(np.float64), s1, s2, apart])
    sums = clusters.sums(each * _shared_out(weight, each[0]))
    return _agreement(_by_moments, sums, clusters, int(pairable.sum()))


def kappa_gain(
    judge: Floats, other: Floats, truth: Floats, classes: int, clusters: Clusters, weight: Floats | None = None
) -> Agreement:
    """Kappa of `judge` with `truth` minus that of `other` with it, on the answers that all three rated.

    BCa over groups, both from the same draws. Where no draw differs, each side reaches as far as Wilson's bound for 0
    differing groups of G.
    """
    known = ~(np.isnan(judge) | np.isnan(other) | np.isnan(truth))
    a, b = (_tables(np.where(known, one, np.nan), truth, classes, clusters, weight) for one in (judge, other))
    of = _unequal(classes)
    value, n = _ratio(of), classes * classes
    sums = np.concatenate([a[0], b[0]])

    def gain(some: Floats) -> Floats:
        difference: Floats = value(some[:n]) - value(some[n:])
        return difference

    return _bounded(gain, sums, clusters, a[1], float(of(a[0].sum(axis=1))[1]), span=2.0)


def confusion(first: Floats, second: Floats, classes: int, weight: Floats | None = None) -> Floats:
    """(K, K): how much weight has class c from the first rater (rows) and class k from the second (columns)."""
    one = Clusters(np.zeros(first.size, dtype=np.int64), 0)
    sums, _ = _tables(first, second, classes, one, weight)
    table: Floats = sums.sum(axis=1).reshape(classes, classes)
    return table


def class_rates(
    judged: Floats, truth: Floats, classes: int, clusters: Clusters, weight: Floats | None = None
) -> tuple[list[Agreement], list[Agreement]]:
    """Precision and recall of each class, as shares with Wilson's interval under clustering.

    Answers of unequal weight are worth (sum w)^2 / (sum w^2) of equal weight (Kish 1965).
    """
    weight = np.ones_like(truth) if weight is None else weight
    tables = [_tables(judged, truth, classes, clusters, weight**power)[0] for power in range(3)]
    plain, table, squares = (sums.reshape(classes, classes, -1) for sums in tables)
    hits = np.stack([table[k, k] for k in range(classes)])
    precision, recall = (
        _shares(hits, table.sum(axis=side), plain.sum(axis=(side, 2)), squares.sum(axis=(side, 2)), why)
        for side, why in ((1, "the judge never says it"), (0, "no label says it"))
    )
    return precision, recall


def detection_f1(judged: Floats, truth: Floats, clusters: Clusters, weight: Floats | None = None) -> Agreement:
    """F1 of telling classes above 0 from class 0: 2 TP / (2 TP + FP + FN), BCa over groups."""
    found, there = (np.where(np.isnan(r), np.nan, (r > 0).astype(np.float64)) for r in (judged, truth))
    sums, n = _tables(found, there, 2, clusters, weight)
    table = sums.reshape(2, 2, -1)
    parts = np.stack([table[1, 1], table[1, 0], table[0, 1]])[:, None]
    value = float(f1(parts.sum(axis=2))[0]) if n else np.nan
    if not np.isfinite(value):
        return Agreement(None, None, None, n, "nothing refuses, neither by judge nor by label" if n else NOBODY)
    drawn = bca(f1, parts, clusters.draws)
    if drawn.high[0] - drawn.low[0] < 1e-9:
        drawn = f1_interval(parts)
    return Agreement(value, float(drawn.low[0]), float(drawn.high[0]), n)


def _tables(
    first: Floats, second: Floats, classes: int, clusters: Clusters, weight: Floats | None
) -> tuple[Floats, int]:
    """Pairs of classes by group, (K K, G), and how many answers both rated."""
    known = ~np.isnan(first) & ~np.isnan(second)
    pair = first[known].astype(np.int64) * classes + second[known].astype(np.int64)
    sums = np.zeros((classes * classes, clusters.count))
    np.add.at(sums, (pair, clusters.group[known]), 1.0 if weight is None else weight[known])
    return sums, int(known.sum())


def _coincidences(ratings: Floats, classes: int, clusters: Clusters, weight: Floats | None) -> tuple[Floats, int]:
    """Krippendorff's coincidences by group, (K K, G), and how many answers have two ratings or more."""
    counts = np.stack([(ratings == k).sum(axis=0) for k in range(classes)]).astype(np.float64)
    m = counts.sum(axis=0)
    pairs = counts[:, None] * counts[None, :] - np.eye(classes)[:, :, None] * counts[:, None]
    each = np.where(m >= 2, pairs / np.maximum(m - 1, 1), 0.0) * _shared_out(weight, np.where(m >= 2, m, 0.0))
    return clusters.sums(each.reshape(classes * classes, -1)), int((m >= 2).sum())


def _shared_out(weight: Floats | None, ratings: Floats) -> Floats:
    """The weights (N,) turned so that all pairable ratings together, `ratings` (N,), count as many as they are.

    Alpha's correction for few ratings, n - 1, is of their true number.
    """
    own = np.ones_like(ratings) if weight is None else weight
    shared: Floats = own * (ratings.sum() / max(float((own * ratings).sum()), 1e-300))
    return shared


def _unequal(classes: int) -> Disagreement:
    def of(sums: Floats) -> tuple[Floats, Floats]:
        table = sums.reshape(classes, classes, *sums.shape[1:])
        with np.errstate(divide="ignore", invalid="ignore"):
            shares = table / table.sum(axis=(0, 1))
        alike = np.einsum("kk...->...", shares)
        by_chance = (shares.sum(axis=0) * shares.sum(axis=1)).sum(axis=0)
        return 1 - alike, 1 - by_chance

    return of


def _squared(sums: Floats) -> tuple[Floats, Floats]:
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y, xx, yy, xy = sums[1:] / sums[0]
    return xx + yy - 2 * xy, xx + yy - 2 * x * y


def _of_coincidences(sums: Floats, classes: int, *, ordinal: bool) -> tuple[Floats, Floats]:
    table = sums.reshape(classes, classes, *sums.shape[1:])
    n_of = table.sum(axis=1)
    n = n_of.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        if ordinal:
            middle = (np.cumsum(n_of, axis=0) - n_of / 2) / n
            distance = (middle[:, None] - middle[None, :]) ** 2
        else:
            distance = np.broadcast_to(
                (1 - np.eye(classes)).reshape(classes, classes, *[1] * (sums.ndim - 1)), table.shape
            )
        observed = (distance * table).sum(axis=(0, 1)) / n
        expected = (distance * n_of[:, None] * n_of[None, :]).sum(axis=(0, 1)) / (n * (n - 1))
    return observed, expected


def _by_moments(sums: Floats) -> tuple[Floats, Floats]:
    n, s1, s2, apart = sums
    with np.errstate(divide="ignore", invalid="ignore"):
        return apart / n, 2 * (n * s2 - s1**2) / (n * (n - 1))


def _ratio(of: Disagreement) -> Statistic:
    def value(sums: Floats) -> Floats:
        observed, expected = of(sums)
        with np.errstate(divide="ignore", invalid="ignore"):
            share: Floats = 1 - np.where(expected > 1e-12, observed / expected, np.nan)
        return share

    return value


def _agreement(of: Disagreement, sums: Floats, clusters: Clusters, n: int) -> Agreement:
    expected = float(of(sums.sum(axis=1))[1]) if n else np.nan
    return _bounded(_ratio(of), sums, clusters, n, expected, span=1.0)


def _bounded(
    statistic: Statistic, sums: Floats, clusters: Clusters, n: int, expected: float, *, span: float
) -> Agreement:
    """Value and interval; expected: the disagreement by chance, which turns Wilson's bound into one of the value."""
    value = float(statistic(sums.sum(axis=1))) if n else np.nan
    if not np.isfinite(value):
        return Agreement(None, None, None, n, ONE_CLASS if n else NOBODY)
    drawn = bca(statistic, sums[:, None], clusters.draws)
    low, high = float(drawn.low[0]), float(drawn.high[0])
    if high - low < 1e-9:  # equal ratings in every draw are no certainty
        filled = np.array([float((sums != 0).any(axis=0).sum())])
        reach = float(wilson(np.zeros(1), filled, filled - 1).high[0]) / expected
        low, high = value - reach, value + reach
    return Agreement(value, max(low, -span), min(high, span), n)


def _shares(hits: Floats, whole: Floats, n: Floats, squares: Floats, why: str) -> list[Agreement]:
    """hits, whole (K, G), n and the sums of squared weights (K,): one share a class."""
    ends = clustered_wilson(hits, whole, whole.sum(axis=1) ** 2 / np.maximum(squares, 1e-300))
    return [
        Agreement(float(hits[k].sum() / whole[k].sum()), float(ends.low[k]), float(ends.high[k]), int(n[k]))
        if n[k]
        else Agreement(None, None, None, 0, why)
        for k in range(n.size)
    ]
