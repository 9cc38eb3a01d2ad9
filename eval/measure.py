"""Metrics of a score table: group sums per item group, then values, intervals and bounds for the unscored.

Letters in shapes: C checkpoints, I items, S answers per item, G groups, M sums of a metric.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.length_control import ORDERS, even_win_rates
from eval.metrics import Metric
from eval.scores import Items, ScoreTable
from eval.statistics import (
    Estimate,
    Floats,
    Interval,
    Numbers,
    Share,
    Statistic,
    mean_of_two,
    ratio_mean,
    share_of_f1,
    share_of_items,
    share_of_mean,
)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sums:
    """Group sums that a metric is made of, and what became of the items."""

    sums: Floats
    """(M, C, G)."""
    groups: NDArray[np.int64]
    """(G,): the groups of the items that the metric looks at, rising."""
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
    repeats: Floats
    """(C,): answers per item, at most; shortlisted points have more than others."""


def measure(table: ScoreTable, metric: Metric) -> list[Estimate]:
    """The metric of each checkpoint, in the table's order, on all items of the table."""
    if metric.form == "even win rate":
        return _as_rows(metric, even_win_rates(table))
    return estimates_of(metric, collect(table, metric))


def estimates_of(metric: Metric, sums: Sums) -> list[Estimate]:
    """The metric of each checkpoint from its group sums."""
    return _as_rows(metric, numbers_of(metric, sums))


def _as_rows(metric: Metric, found: Numbers) -> list[Estimate]:
    columns = [_known(column) for column in (found.value, found.low, found.high, found.worst, found.best)]
    rows = zip(*columns, found.n.tolist(), found.n_unscored.tolist(), notes_of(metric, found), strict=True)
    return [
        Estimate(value, low, high, n, gone, worst, best, note) for value, low, high, worst, best, n, gone, note in rows
    ]


def numbers_of(metric: Metric, sums: Sums) -> Numbers:
    """The metric of each checkpoint from its group sums."""
    statistic = statistic_of(metric)
    value = statistic(sums.sums.sum(axis=2))
    spread = _interval(metric, sums) if sums.strata.size else Interval(value, value)
    low, high = (np.where(np.isnan(value), np.nan, end) for end in (spread.low, spread.high))
    return Numbers(value, low, high, sums.n, sums.unscored, statistic(sums.worst), statistic(sums.best))


def notes_of(metric: Metric, found: Numbers) -> list[str | None]:
    """Why there is no value, for each checkpoint; None where there is one."""
    some = "no item of one of its kinds" if metric.parts else "nothing refused, neither by answer nor by reference"
    return [
        None if known else some if n else "no scored item"
        for known, n in zip(np.isfinite(found.value).tolist(), found.n.tolist(), strict=True)
    ]


def statistic_of(metric: Metric) -> Statistic:
    """How the metric's sums (M, ...) become its value."""
    return lambda sums: ratio_mean(as_ratios(metric, sums))


def share_of(metric: Metric, sums: Sums) -> Share:
    """What the metric's interval rests on; not for means of rates, whose two rates have their own."""
    match metric.form:
        case "rate" | "precision" | "recall":
            numerators, denominators = as_ratios(metric, sums.sums)
            n = sums.n.astype(np.float64) if metric.form == "rate" else denominators.sum(axis=1)
            return share_of_items(numerators, denominators, n, sums.repeats)
        case "win rate":
            won, pairs = sums.sums
            return share_of_items(won, pairs, sums.n.astype(np.float64), ORDERS * sums.repeats)
        case "f1":
            return share_of_f1(sums.sums, sums.repeats)
        case _:
            return share_of_mean(sums.sums, metric.low, metric.high)


def as_ratios(metric: Metric, sums: Floats) -> Floats:
    """The metric's sums (M, ...) as numerators and denominators of the K ratios whose mean it is: (2K, ...)."""
    if metric.parts:
        return sums
    hits, false_alarms, misses = sums
    match metric.form:
        case "precision":
            return np.stack([hits, hits + false_alarms])
        case "recall":
            return np.stack([hits, hits + misses])
        case _:
            return np.stack([2 * hits, 2 * hits + false_alarms + misses])


def collect(table: ScoreTable, metric: Metric) -> Sums:
    """The metric's group sums over the table's items; groups that it does not touch are left out."""
    layers = layers_of(table, metric)
    return gather(layers, np.ones(layers.items.kind.size, dtype=bool))


@dataclass(frozen=True, slots=True)
class Layers:
    """What each item that a metric looks at adds to its sums; items of a group stand together."""

    items: Items
    places: NDArray[np.int64]
    """(I,): where the items stand in the score table."""
    sums: Floats
    """(M, C, I), items weighted."""
    worst: Floats
    """(M, C, I)."""
    best: Floats
    """(M, C, I)."""
    scored: Mask
    """(C, I)."""
    unscored: Mask
    """(C, I)."""
    repeats: Floats
    """(C,): answers per item, at most; shortlisted points have more than others."""


def touched(table: ScoreTable, metric: Metric) -> Mask:
    """The items that the metric looks at: (I,)."""
    if metric.parts:
        return np.isin(table.items.kind, [part.kind for part in metric.parts])
    return np.asarray(table.items.reference_refusal >= 0)


def layers_of(table: ScoreTable, metric: Metric) -> Layers:
    """The metric's layers of a whole table, from which `gather` takes the sums of any part of it.

    Metrics whose `looks_at` is the same have the same layers.
    """
    places = np.flatnonzero(touched(table, metric))
    places = places[np.argsort(table.items.group[places], kind="stable")]
    part = table.where(places)
    raw = _mean_layers(part, metric) if metric.parts else _label_layers(part, metric.least_refusal)
    weight = part.items.weight
    return Layers(
        part.items,
        places,
        raw.sums * weight,
        raw.worst * weight,
        raw.best * weight,
        raw.scored,
        raw.unscored,
        raw.repeats,
    )


def gather(layers: Layers, mask: Mask) -> Sums:
    """Group sums over the items of `layers` that `mask` (I,) keeps.

    Each sum runs over one checkpoint's own values in one order: what other checkpoints there are changes no bit of it.
    """
    places = np.flatnonzero(mask)
    sums, worst, best = (layer.take(places, axis=2) for layer in (layers.sums, layers.worst, layers.best))
    groups, first = np.unique(layers.items.group[places], return_index=True)
    return Sums(
        sums=np.add.reduceat(sums, first, axis=2) if groups.size < places.size else sums,
        groups=groups,
        strata=layers.items.stratum[places][first],
        n=layers.scored.take(places, axis=1).sum(axis=1),
        unscored=layers.unscored.take(places, axis=1).sum(axis=1),
        worst=worst.sum(axis=2),
        best=best.sum(axis=2),
        repeats=layers.repeats,
    )


@dataclass(frozen=True, slots=True)
class _Raw:
    """What each item adds to each sum, not weighted."""

    sums: Floats
    """(M, C, I)."""
    worst: Floats
    best: Floats
    scored: Mask
    """(C, I)."""
    unscored: Mask
    repeats: Floats
    """(C,)."""


def _mean_layers(table: ScoreTable, metric: Metric) -> _Raw:
    """Sums: one numerator per part, then one denominator per part; an item counts once, whatever its repeats."""
    bad, good = (metric.low, metric.high) if metric.higher_is_better else (metric.high, metric.low)
    shape = (2 * len(metric.parts), len(table.checkpoints), table.items.kind.size)
    sums, worst, best = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    scored, unscored = (np.zeros(shape[1:], dtype=bool) for _ in range(2))
    repeats = np.ones(len(table.checkpoints))
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
        scored |= some
        unscored |= present & ~some
        repeats = np.maximum(repeats, _most_answers(asked))
    return _Raw(sums, worst, best, scored, unscored & ~scored, repeats)


def _label_layers(table: ScoreTable, least_refusal: int) -> _Raw:
    """Sums: hits, false alarms, misses."""
    positive = np.asarray(table.items.reference_refusal >= least_refusal)
    refusal = table.axes["refusal"]
    known = ~np.isnan(refusal)
    asked = known | table.failed
    predicted, some = _item_means((refusal >= least_refusal).astype(np.float64), known)
    share = known.sum(axis=2) / np.maximum(asked.sum(axis=2), 1)
    present = np.asarray(asked.any(axis=2))
    filled = share * predicted
    return _Raw(
        sums=_confusion(predicted, some, positive),
        worst=_confusion(filled + (1 - share) * ~positive, present, positive),
        best=_confusion(filled + (1 - share) * positive, present, positive),
        scored=some,
        unscored=present & ~some,
        repeats=_most_answers(asked),
    )


def _most_answers(asked: Mask) -> Floats:
    """The most answers of each checkpoint to one item (C,), at least 1; asked (C, I, S)."""
    numbers = np.arange(1.0, asked.shape[2] + 1)
    most: Floats = np.where(asked.any(axis=1), numbers, 1.0).max(axis=1, initial=1.0)
    return most


def _confusion(predicted: Floats, known: Mask, positive: Mask) -> Floats:
    hits = np.where(known & positive, predicted, 0.0)
    false_alarms = np.where(known & ~positive, predicted, 0.0)
    misses = np.where(known & positive, 1 - predicted, 0.0)
    return np.stack([hits, false_alarms, misses])


def _item_means(values: Floats, known: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.bool_]]:
    """Mean over the known answers of each item (0 where none is), and whether any is: both (C, I)."""
    count = known.sum(axis=2)
    return np.where(known, values, 0.0).sum(axis=2) / np.maximum(count, 1), count > 0


def _interval(metric: Metric, sums: Sums) -> Interval:
    if metric.form == "mean of rates":
        return mean_of_two(sums.sums, sums.repeats)
    return share_of(metric, sums).interval


def _known(values: Floats) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
