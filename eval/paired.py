"""Differences of many points with one of them, on the prompts that both have scores for.

Letters in shapes: C checkpoints, I items, S answers per item, G groups, M sums of a metric.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eval.draws import centred, jackknife
from eval.measure import Layers, Sums, as_ratios, gather, layers_of, touched
from eval.metrics import Metric
from eval.scores import ScoreTable
from eval.spread import carrying_groups
from eval.statistics import Floats, ratio_mean


@dataclass(frozen=True, slots=True)
class Contrast:
    """Every checkpoint's metric minus that of one of them, each pair on its own common items."""

    difference: Floats
    """(C,): above 0 where the checkpoint is better than the one, whichever way the metric is turned; NaN where one of
    the two has no value."""
    pull: Floats
    """(C, G): what each group adds to the difference's error; the squares add up to its variance."""
    error: Floats
    """(C,): standard error, with one group more that pulls as much as the strongest one; never 0.

    A few differing groups, all in one direction, would look surer than they are; where all groups agree, one group
    that differs by the whole scale is added, and so for each ratio of several (balance) whose groups all agree.
    """
    filled: Floats
    """(C,): groups with scores of both, of several ratios in the fewest; Student's t has a degree of freedom less."""
    groups: NDArray[np.int64]
    """(G,): the groups that the metric looks at, rising."""
    items: NDArray[np.int64]
    """(C,): prompts that both have scores for."""


def contrasts(table: ScoreTable, metric: Metric, ones: Sequence[int]) -> Iterator[Contrast]:
    """The contrasts of all checkpoints with each of the table's checkpoints number `ones`, in that order."""
    table = table.where(touched(table, metric))
    turn = 1.0 if metric.higher_is_better else -1.0
    for own, my_sums, items in _common_sums(table, metric, ones):
        theirs, mine = as_ratios(metric, own.sums), as_ratios(metric, my_sums)
        pulls = turn * _pulls(theirs, mine, own.strata)
        pull = pulls.sum(axis=0)
        filled = carrying_groups(theirs, mine)
        more = _one_group_more(pulls, filled, metric.high - metric.low)
        yield Contrast(
            difference=turn * (ratio_mean(theirs.sum(axis=2)) - ratio_mean(mine.sum(axis=2))),
            pull=pull,
            error=np.sqrt((pull**2).sum(axis=1) + more),
            filled=filled,
            groups=own.groups,
            items=items,
        )


def contrast(table: ScoreTable, metric: Metric, one: int) -> Contrast:
    """The contrast of all checkpoints with the table's checkpoint number `one`."""
    return next(contrasts(table, metric, [one]))


def _pulls(theirs: Floats, mine: Floats, strata: NDArray[np.int64]) -> Floats:
    """What each group adds through each of K ratios to the error of their mean's difference: (K, C, G)."""
    half = theirs.shape[0] // 2
    ratios = [(theirs[[k, k + half]], mine[[k, k + half]]) for k in range(half)]
    return np.stack([centred(jackknife(ratio_mean, a) - jackknife(ratio_mean, b), strata) / half for a, b in ratios])


def _one_group_more(pulls: Floats, filled: Floats, span: float) -> Floats:
    """The variance (C,) that one group more adds to a difference with `pulls` (K, C, G) on a scale of width `span`."""
    strongest = np.abs(pulls.sum(axis=0)).max(axis=1, initial=0.0)
    whole = span / np.maximum(filled, 1)
    agree = np.abs(pulls).max(axis=2, initial=0.0) < 1e-12
    unseen = agree.sum(axis=0) * (whole / pulls.shape[0]) ** 2
    more: Floats = np.where(strongest > 1e-12, strongest**2 + unseen, whole**2)
    return more


def _common_sums(
    table: ScoreTable, metric: Metric, ones: Sequence[int]
) -> Iterator[tuple[Sums, Floats, NDArray[np.int64]]]:
    """Of each checkpoint, and of each of `ones`, (M, 1 or C, G), on what both have scores for; and how many items."""
    layers = layers_of(table, metric)
    own = gather(layers, np.ones(layers.places.size, dtype=bool))
    if _equally_scored(table, metric):
        for one in ones:
            yield own, own.sums[:, one : one + 1], own.n
        return
    has = _has(layers, metric)
    first = np.unique(layers.items.group, return_index=True)[1]
    for one in ones:
        theirs, mine = layers.sums * has[:, one, None], layers.sums[:, one, None] * has
        items = (has & has[:, one, None]).any(axis=0).sum(axis=1)
        yield replace(own, sums=_by_group(theirs, first)), _by_group(mine, first), items


def _has(layers: Layers, metric: Metric) -> NDArray[np.bool_]:
    """Whether a checkpoint has a score of an item for each of the metric's sums: (M, C, I).

    An item that one of two checkpoints has no score of is left out of both.
    """
    if len(metric.parts) < 2:
        return np.broadcast_to(layers.scored, layers.sums.shape)
    counted = layers.sums[len(metric.parts) :] != 0
    return np.concatenate([counted, counted])


def _by_group(sums: Floats, first: NDArray[np.int64]) -> Floats:
    """Sums (M, C, G) of layers (M, C, I) whose groups start at `first` (G,), in the order in which `gather` adds."""
    return np.add.reduceat(sums, first, axis=2) if first.size < sums.shape[2] else sums


def _equally_scored(table: ScoreTable, metric: Metric) -> bool:
    """Whether every checkpoint has scores for the same items, so that nothing is to be left out of any pair."""
    values = [(table.items.kind == part.kind, part.units(table)) for part in metric.parts]
    values = values or [(table.items.reference_refusal >= 0, table.axes["refusal"])]
    return all(_same_rows(np.asarray((~np.isnan(units)).any(axis=2))[:, own]) for own, units in values)


def _same_rows(known: NDArray[np.bool_]) -> bool:
    return bool((known == known[:1]).all())
