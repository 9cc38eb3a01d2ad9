"""Differences between checkpoints on the same prompts, and picking the best of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval.measure import Sums, collect, measure, statistic_of
from eval.metrics import Metric
from eval.scores import ScoreTable
from eval.statistics import Estimate, Floats, Interval, bca, group_draws, wilson


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


def paired_difference(table: ScoreTable, metric: Metric, a: str, b: str, seed: int) -> Estimate:
    """The metric of checkpoint `a` minus that of `b` on the items that both have scores for (pairwise deletion).

    The interval is a BCa bootstrap over groups. Where no draw differs, each side reaches as far as Wilson's bound
    for 0 differing groups of G: equal answers are no certainty either. `worst` and `best` put every unscored answer
    at its worst for `a` and best for `b`, and the other way round.
    """
    pair = _both(table, a, b)
    own = collect(_pairwise(pair), metric)
    bounds = collect(pair, metric)
    statistic = statistic_of(metric)

    def difference(sums: Floats) -> Floats:
        half = sums.shape[0] // 2
        gap: Floats = statistic(sums[:half]) - statistic(sums[half:])
        return gap

    stacked = np.concatenate([own.sums[:, :1], own.sums[:, 1:]])
    value = float(difference(stacked.sum(axis=2))[0])
    n, unscored = int(own.n.min()), int(bounds.n.max() + bounds.unscored.max() - own.n.min())
    if not np.isfinite(value):
        return Estimate(None, None, None, n, unscored, None, None, "not defined for both")
    low, high = _ends(metric, own, value, bca(difference, stacked, group_draws(own.strata, seed)))
    worst = float(statistic(bounds.worst)[0] - statistic(bounds.best)[1])
    best = float(statistic(bounds.best)[0] - statistic(bounds.worst)[1])
    if not metric.higher_is_better:
        worst, best = best, worst
    return Estimate(value, low, high, n, unscored, worst, best)


def pick(table: ScoreTable, metric: Metric, candidates: Sequence[str], others: Sequence[str], seed: int) -> Pick | None:
    """The candidate with the best metric on the select split, and how it stands on the confirm split.

    `candidates` are ids in ratio order; of several equally good ones the middle one is taken. `others` are what it
    is compared with on confirm (ends and references). None where the metric has no value on the select split.
    """
    select, confirm = (table.where(table.items.confirm == side) for side in (False, True))
    measured = dict(zip(table.checkpoints, measure(select, metric, seed), strict=True))
    values = {c: measured[c].value for c in candidates}
    known = [v for v in values.values() if v is not None]
    if not known:
        return None
    top = max(known) if metric.higher_is_better else min(known)
    tied = [c for c, v in values.items() if v is not None and abs(v - top) < 1e-9]
    best = tied[len(tied) // 2]
    on_confirm = measure(_both(confirm, best, best), metric, seed)[0]
    differences = {c: paired_difference(confirm, metric, best, c, seed) for c in others if c != best}
    return Pick(best, metric.name, measured[best], on_confirm, differences)


def _both(table: ScoreTable, a: str, b: str) -> ScoreTable:
    rows = [table.checkpoints.index(a), table.checkpoints.index(b)]
    axes = {axis: values[rows] for axis, values in table.axes.items()}
    return replace(table, checkpoints=(a, b), failed=table.failed[rows], axes=axes)


def _pairwise(pair: ScoreTable) -> ScoreTable:
    """The same with an axis' scores of an item dropped where one of the two has none."""
    axes = {}
    for axis, values in pair.axes.items():
        both = np.asarray((~np.isnan(values)).any(axis=2).all(axis=0))
        axes[axis] = np.where(both[None, :, None], values, np.nan)
    return replace(pair, axes=axes)


def _ends(metric: Metric, own: Sums, value: float, drawn: Interval) -> tuple[float, float]:
    low, high = float(drawn.low[0]), float(drawn.high[0])
    if high - low >= 1e-9:
        return low, high
    # F1's three sums are one share of their union; the others are numerators, then denominators
    parts = own.sums.sum(axis=0, keepdims=True) if metric.form == "f1" else own.sums[own.sums.shape[0] // 2 :]
    groups = np.array([float((parts > 0).sum(axis=2).min())])
    reach = (metric.high - metric.low) * float(wilson(np.zeros(1), groups, groups - 1).high[0])
    span = metric.high - metric.low
    return max(value - reach, -span), min(value + reach, span)
