"""Bootstrap draws of several metrics at once: the same groups for every checkpoint, spread as wide as the intervals.

Letters in shapes: D draws, C checkpoints, G groups, M sums of a metric.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from eval.measure import collect, share_of, statistic_of
from eval.metrics import Metric
from eval.scores import ScoreTable
from eval.statistics import DRAWS, Floats, Share, Statistic, group_draws
from mergescope.ground.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class Resampled:
    """Which groups of a table are in each draw."""

    groups: NDArray[np.int64]
    """(G,): the table's groups, rising."""
    counts: NDArray[np.int16]
    """(D, G): how often."""
    seed: int


def resample(table: ScoreTable, seed: int, draws: int = DRAWS) -> Resampled:
    """The draws of all groups of a table, so that metrics on different items of one group move together."""
    groups, first = np.unique(table.items.group, return_index=True)
    return Resampled(groups, _kept_draws(_gathered(table.items.stratum[first]).tobytes(), seed, draws), seed)


@lru_cache(maxsize=2)
def _kept_draws(strata: bytes, seed: int, draws: int) -> NDArray[np.int16]:
    """The last draws made (D, G): each look at a rule asks for the same ones more than once. Not to be written to."""
    counts = group_draws(np.frombuffer(strata, dtype=np.int64), seed, draws).astype(np.int16)  # a quarter of the memory
    counts.flags.writeable = False
    return counts


def metric_draws(table: ScoreTable, metric: Metric, drawn: Resampled) -> Floats:
    """The metric of each checkpoint in each draw, (D, C); NaN throughout where it has no value.

    A plain bootstrap takes 60 safe answers of 60 for certain. So each checkpoint's draws keep their order, which ties
    them to the other checkpoints and metrics, and take Wilson's values in that order: the k-th of D draws is the end
    of the one-sided interval at level (k + 1/2) / D. Equal draws are ordered by chance, by the same chance for all
    checkpoints. A mean of rates is the mean of its rates' draws, since the rate with the fewer prompts is less sure.
    """
    if metric.form == "mean of rates":
        rates = [metric_draws(table, replace(metric, form="rate", parts=(part,)), drawn) for part in metric.parts]
        mean: Floats = np.mean(rates, axis=0)
        return mean
    sums = collect(table, metric)
    statistic = statistic_of(metric)
    value = statistic(sums.sums.sum(axis=2))
    counts = drawn.counts[:, np.searchsorted(drawn.groups, sums.groups)].astype(np.float64)
    raw = statistic(np.einsum("mcg,dg->mdc", sums.sums, counts, optimize=True))
    raw = np.where(np.isfinite(raw), raw, value)
    rng = np.random.default_rng(derive_seed(drawn.seed, "ties", metric.name, *(part.kind for part in metric.parts)))
    chance: Floats = rng.random((raw.shape[0], 1))
    drawn_values: Floats = np.where(np.isnan(value), np.nan, _as_wide_as_wilson(raw, share_of(metric, sums), chance))
    return drawn_values


def jackknife(statistic: Statistic, sums: Floats) -> Floats:
    """The statistic minus itself without each group, (C, G) from sums (M, C, G); 0 where that is undefined."""
    value = statistic(sums.sum(axis=2))
    left_out = statistic(sums.sum(axis=2, keepdims=True) - sums)
    pull: Floats = np.where(np.isfinite(left_out), value[:, None] - left_out, 0.0)
    return pull


def centred(pull: Floats, strata: NDArray[np.int64]) -> Floats:
    """Jackknife pulls (C, G) around their stratum's mean, scaled so that their squares add up to the variance.

    Leaving out one of G groups moves a mean by G / (G - 1) of the group's share in it. Strata of one group tell nothing
    of their own variance: they are taken as one stratum, and a lone one varies around the mean of all groups.
    """
    strata = _gathered(strata)
    out = np.zeros_like(pull)
    shares = pull * (1 - 1 / max(pull.shape[1], 1))
    for stratum in np.unique(strata):
        members = strata == stratum
        peers = shares[:, members] if members.sum() > 1 else shares
        size = peers.shape[1]
        out[:, members] = (shares[:, members] - peers.mean(axis=1, keepdims=True)) * (size / max(size - 1, 1)) ** 0.5
    return out


def _gathered(strata: NDArray[np.int64]) -> NDArray[np.int64]:
    """The strata (G,) with those of one group made one."""
    _, place, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    return np.where(sizes[place] > 1, place, -1).astype(np.int64)


def _as_wide_as_wilson(raw: Floats, share: Share, chance: Floats) -> Floats:
    """Wilson's values of `share` in the order of raw (D, C); chance (D, 1) orders equal ones."""
    order = np.lexsort((np.broadcast_to(chance, raw.shape), np.round(raw, 12)), axis=0)
    rank = np.empty(raw.shape)
    np.put_along_axis(rank, order, np.arange(raw.shape[0], dtype=np.float64)[:, None], axis=0)
    z = stdtrit(np.maximum(share.dof, 1), (rank + 0.5) / raw.shape[0])
    p, n = share.p, np.maximum(share.n, 1e-9)
    centre, tail = p + z * z / (2 * n), np.clip(p * (1 - p), 0, None) / n + z * z / (4 * n * n)
    return share.value(np.clip((centre + z * np.sqrt(tail)) / (1 + z * z / n), 0, 1))
