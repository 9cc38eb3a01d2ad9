"""Metrics of a score table: group sums per item group, then values, intervals and bounds for the unscored.

Letters in shapes: C checkpoints, I items, S answers per item, G groups, M sums of a metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.length_control import ORDERS, even_win_rates
from eval.metrics import Form, Metric
from eval.scores import ScoreTable
from eval.statistics import (
    Estimate,
    Floats,
    Interval,
    Statistic,
    bca,
    bounded,
    clustered_wilson,
    f1,
    group_draws,
    mean_of_two,
    ratio_mean,
)


@dataclass(frozen=True, slots=True)
class Sums:
    """Group sums that a metric is made of, and what became of the items."""

    sums: Floats
    """(M, C, G)."""
    strata: NDArray[np.int64]
    """(G,)."""
    n: NDArray[np.int64]
    """(C,): items with at least one scored answer."""
    unscored: NDArray[np.int64]
    """(C,): items asked but without any score."""
    worst: Floats
    """(M, C): the sums with each unscored answer at its worst."""
    best: Floats
    """(M, C): and at its best."""
    repeats: int
    """Answers per item."""


def measure(table: ScoreTable, metric: Metric, seed: int) -> list[Estimate]:
    """The metric of each checkpoint, in the table's order, on all items of the table."""
    if metric.form == "even win rate":
        return even_win_rates(table)
    sums = collect(table, metric)
    statistic = statistic_of(metric)
    total = sums.sums.sum(axis=2)
    value = statistic(total)
    spread = _interval(metric, sums, seed) if sums.strata.size else Interval(value, value)
    worst, best = statistic(sums.worst), statistic(sums.best)
    return [
        _estimate(metric, value[c], spread.low[c], spread.high[c], sums.n[c], sums.unscored[c], worst[c], best[c])
        for c in range(value.size)
    ]


def statistic_of(metric: Metric) -> Statistic:
    """How the metric's sums (M, ...) become its value."""
    return f1 if metric.form == "f1" else ratio_mean


def collect(table: ScoreTable, metric: Metric) -> Sums:
    """The metric's group sums over the table's items; groups that it does not touch are left out."""
    layers = (
        _label_layers(table, metric) if metric.form in ("f1", "precision", "recall") else _mean_layers(table, metric)
    )
    touched = layers.applies.any(axis=0)
    groups, index = np.unique(table.items.group[touched], return_inverse=True)
    strata = np.zeros(groups.size, dtype=np.int64)
    strata[index] = table.items.stratum[touched]
    onto = np.zeros((int(touched.sum()), groups.size))
    onto[np.arange(index.size), index] = table.items.weight[touched]
    weight = table.items.weight
    return Sums(
        sums=layers.sums[..., touched] @ onto,
        strata=strata,
        n=layers.scored.sum(axis=1),
        unscored=layers.unscored.sum(axis=1),
        worst=layers.worst @ weight,
        best=layers.best @ weight,
        repeats=table.failed.shape[2],
    )


@dataclass(frozen=True, slots=True)
class _Layers:
    """What each item adds to each sum."""

    sums: Floats
    """(M, C, I)."""
    worst: Floats
    best: Floats
    applies: NDArray[np.bool_]
    """(1 or C, I): whether the metric looks at the item."""
    scored: NDArray[np.bool_]
    """(C, I)."""
    unscored: NDArray[np.bool_]


def _mean_layers(table: ScoreTable, metric: Metric) -> _Layers:
    """Sums: one numerator per part, then one denominator per part; an item counts once, whatever its repeats."""
    bad, good = (metric.low, metric.high) if metric.higher_is_better else (metric.high, metric.low)
    shape = (2 * len(metric.parts), len(table.checkpoints), table.items.kind.size)
    sums, worst, best = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    applies, scored, unscored = (np.zeros(shape[1:], dtype=bool) for _ in range(3))
    for k, part in enumerate(metric.parts):
        own = table.items.kind == part.kind
        values = part.units(table)
        known = ~np.isnan(values) & own[:, None]
        asked = known | (table.failed & own[:, None])
        mean, some = _item_means(values, known)
        share = known.sum(axis=2) / np.maximum(asked.sum(axis=2), 1)
        present = np.asarray(asked.any(axis=2))
        sums[k], sums[k + len(metric.parts)] = mean, some
        worst[k], best[k] = (np.where(present, share * mean + (1 - share) * end, 0) for end in (bad, good))
        worst[k + len(metric.parts)] = best[k + len(metric.parts)] = present
        applies |= own
        scored |= some
        unscored |= present & ~some
    return _Layers(sums, worst, best, applies, scored, unscored & ~scored)


def _label_layers(table: ScoreTable, metric: Metric) -> _Layers:
    """Sums: hits, false alarms, misses (f1); or hits and what they are a share of (precision, recall)."""
    reference = table.items.reference_refusal
    own = reference >= 0
    positive = np.asarray(reference >= metric.least_refusal)
    refusal = table.axes["refusal"]
    known = ~np.isnan(refusal) & own[:, None]
    asked = known | (table.failed & own[:, None])
    predicted, some = _item_means((refusal >= metric.least_refusal).astype(np.float64), known)
    share = known.sum(axis=2) / np.maximum(asked.sum(axis=2), 1)
    present = np.asarray(asked.any(axis=2))
    filled = share * predicted
    return _Layers(
        sums=_confusion(metric.form, predicted, some, positive),
        worst=_confusion(metric.form, filled + (1 - share) * ~positive, present, positive),
        best=_confusion(metric.form, filled + (1 - share) * positive, present, positive),
        applies=own[None],
        scored=some,
        unscored=present & ~some,
    )


def _confusion(form: Form, predicted: Floats, known: NDArray[np.bool_], positive: NDArray[np.bool_]) -> Floats:
    hits = np.where(known & positive, predicted, 0.0)
    false_alarms = np.where(known & ~positive, predicted, 0.0)
    misses = np.where(known & positive, 1 - predicted, 0.0)
    match form:
        case "precision":
            return np.stack([hits, hits + false_alarms])
        case "recall":
            return np.stack([hits, hits + misses])
        case _:
            return np.stack([hits, false_alarms, misses])


def _item_means(values: Floats, known: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Mean over the known answers of each item (0 where none is), and whether any is: both (C, I)."""
    count = known.sum(axis=2)
    return np.where(known, values, 0.0).sum(axis=2) / np.maximum(count, 1), count > 0


def _interval(metric: Metric, sums: Sums, seed: int) -> Interval:
    if metric.form in ("rate", "precision", "recall"):
        numerators, denominators = sums.sums
        n = sums.n if metric.form == "rate" else denominators.sum(axis=1)
        return clustered_wilson(numerators, denominators, n.astype(np.float64), sums.repeats)
    if metric.form == "win rate":
        return clustered_wilson(sums.sums[0], sums.sums[1], sums.n.astype(np.float64), ORDERS * sums.repeats)
    if metric.form == "mean of rates":
        return mean_of_two(sums.sums, sums.repeats)
    counts = group_draws(sums.strata, seed)
    drawn = bca(statistic_of(metric), sums.sums, counts)
    if metric.form == "f1":
        return _wider_if_flat(drawn, _flat_f1(sums))
    return _wider_if_flat(drawn, _flat_mean(metric, sums))


def _wider_if_flat(drawn: Interval, flat: Interval) -> Interval:
    """The bootstrap's interval, but the other one where no draw differs: equal scores are no certainty."""
    same = drawn.high - drawn.low < 1e-9
    return Interval(np.where(same, flat.low, drawn.low), np.where(same, flat.high, drawn.high))


def _flat_mean(metric: Metric, sums: Sums) -> Interval:
    filled = (sums.sums[-1] > 0).sum(axis=1).astype(np.float64)
    return bounded(ratio_mean(sums.sums.sum(axis=2)), filled, metric.low, metric.high)


def _flat_f1(sums: Sums) -> Interval:
    """F1 = 2 J / (1 + J) with J = TP / (TP + FP + FN), a share: Wilson's interval of J, carried over."""
    hits, union = sums.sums[0], sums.sums.sum(axis=0)
    j = clustered_wilson(hits, union, union.sum(axis=1), sums.repeats)
    return Interval(2 * j.low / (1 + j.low), 2 * j.high / (1 + j.high))


def _estimate(
    metric: Metric, value: float, low: float, high: float, n: int, unscored: int, worst: float, best: float
) -> Estimate:
    if not np.isfinite(value):
        return Estimate(None, None, None, int(n), int(unscored), _known(worst), _known(best), _why(metric, int(n)))
    return Estimate(float(value), float(low), float(high), int(n), int(unscored), _known(worst), _known(best))


def _why(metric: Metric, n: int) -> str:
    if not n:
        return "no scored item"
    return "no item of one of its kinds" if metric.parts else "nothing refused, neither by answer nor by reference"


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
