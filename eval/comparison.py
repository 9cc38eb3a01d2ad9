"""Differences between checkpoints on the same prompts, and picking the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.measure import as_ratios, collect, measure, statistic_of
from eval.metrics import Metric
from eval.scores import ScoreTable
from eval.spread import carrying_groups, residuals
from eval.statistics import Estimate, Floats, Interval, paired_interval, ratio_mean

TIED = 1e-9
"""Values that differ by no more are equal but for rounding."""


@dataclass(frozen=True, slots=True)
class Pick:
    """The best point by one metric, picked on one split and looked at on the other."""

    checkpoint_id: str
    metric: str
    select: Estimate
    """The metric on the split that picked it: flattering, since it was chosen for it."""
    confirm: Estimate
    """The metric on the split that it was not picked on."""
    differences: Mapping[str, Estimate]
    """On confirm: the pick minus each checkpoint that it is compared with, by id."""


def paired_difference(table: ScoreTable, metric: Metric, a: str, b: str) -> Estimate:
    """The metric of checkpoint `a` minus that of `b` on the items that both have scores for (pairwise deletion).

    The interval is `paired_interval`'s, over groups. `worst` and `best` put every unscored answer at its worst for `a`
    and best for `b`, and the other way round; they and `n_unscored` are of the items that both were asked.
    """
    pair = table.of([a, b])
    own = collect(_pairwise(pair), metric)
    bounds = collect(_asked_of_both(pair), metric)
    n = int(own.n.min())
    unscored = int((bounds.n + bounds.unscored).min()) - n
    values, ends = differences_of(metric, own.sums[:, :1], own.sums[:, 1:])
    value = float(values[0])
    if not np.isfinite(value):
        return Estimate(None, None, None, n, unscored, None, None, "not defined for both")
    statistic = statistic_of(metric)
    worst = float(statistic(bounds.worst)[0] - statistic(bounds.best)[1])
    best = float(statistic(bounds.best)[0] - statistic(bounds.worst)[1])
    if not metric.higher_is_better:
        worst, best = best, worst
    return Estimate(value, float(ends.low[0]), float(ends.high[0]), n, unscored, worst, best)


def differences_of(metric: Metric, first: Floats, second: Floats) -> tuple[Floats, Interval]:
    """The metric of each of C checkpoints minus that of its partner, (C,), and the intervals.

    first, second (M, C, G) are group sums over the same items and groups.
    """
    sums = as_ratios(metric, first), as_ratios(metric, second)
    value, other = (ratio_mean(side.sum(axis=2)) for side in sums)
    groups = carrying_groups(*sums)
    moves = residuals(sums[0]) - residuals(sums[1])
    return value - other, paired_interval(value - other, moves, groups, metric.high - metric.low)


def pick(table: ScoreTable, metric: Metric, candidates: Sequence[str], others: Sequence[str]) -> Pick | None:
    """The candidate with the best metric on the select split, and how it stands on the confirm split.

    `candidates` are ids in ratio order; of several equally good ones the middle one is taken. `others` are what it
    is compared with on confirm (ends and references). None where the metric has no value on the select split.
    """
    select, confirm = (table.where(table.items.confirm == side) for side in (False, True))
    measured = dict(zip(table.checkpoints, measure(select, metric), strict=True))
    values = np.array([measured[c].value for c in candidates], dtype=np.float64)  # None becomes NaN
    place = middle_best(values if metric.higher_is_better else -values)
    if place is None:
        return None
    best = candidates[place]
    on_confirm = measure(confirm.of([best]), metric)[0]
    differences = {c: paired_difference(confirm, metric, best, c) for c in others if c != best}
    return Pick(best, metric.name, measured[best], on_confirm, differences)


def middle_best(values: Floats) -> int | None:
    """The place of the highest of `values` (N,), of equal ones the middle one; None where all are NaN."""
    if np.isnan(values).all():
        return None
    tied = np.flatnonzero(values >= np.nanmax(values) - TIED)
    return int(tied[len(tied) // 2])


def _asked_of_both(pair: ScoreTable) -> ScoreTable:
    """The same without the items that one of the two has no answer to yet."""
    axes, some = {}, np.zeros(pair.failed.shape[1], dtype=bool)
    for axis, values in pair.axes.items():
        both = np.asarray((~np.isnan(values) | pair.failed).any(axis=2).all(axis=0))
        axes[axis] = np.where(both[None, :, None], values, np.nan)
        some |= both
    return replace(pair, axes=axes, failed=pair.failed & some[None, :, None])


def _pairwise(pair: ScoreTable) -> ScoreTable:
    """The same with an axis' scores of an item dropped where one of the two has none."""
    axes = {}
    for axis, values in pair.axes.items():
        both = np.asarray((~np.isnan(values)).any(axis=2).all(axis=0))
        axes[axis] = np.where(both[None, :, None], values, np.nan)
    return replace(pair, axes=axes)
