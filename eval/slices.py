"""Where a checkpoint fails more often than elsewhere: slices of its prompts, each with its rate and its evidence.

Letters in shapes: I items, G groups (clusters of items that go together), N slices, M sums of a metric.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, hypergeom

from eval.baseline import holm
from eval.measure import Layers, Mask, Sums, estimates_of, layers_of
from eval.metrics import Metric
from eval.scores import ScoreTable
from eval.statistics import Estimate, Floats, effective_n

Counts = NDArray[np.int64]
LARGEST = 500_000
"""Slices times items that are summed at a time: 16 MB of numbers."""


@dataclass(frozen=True, slots=True)
class SliceRate:
    """How often a checkpoint fails in one slice, held against something else."""

    rate: Estimate
    """Of the checkpoint in the slice."""
    other: Estimate
    """Of what it is compared with: the checkpoint outside the slice, or the baseline in it."""
    single_p: float
    """One-sided p-value, as if this slice alone had been looked at."""
    p: float
    """The same over all slices together (Holm): the chance of any such find if none of them were worse."""


def slices_against_rest(table: ScoreTable, metric: Metric, one: str, slices: Sequence[Mask]) -> list[SliceRate]:
    """Each slice against the rest of the checkpoint's prompts, in the slices' order.

    metric: a rate, higher is worse. slices: masks (I,) over the table's items; they may overlap. p is Fisher's exact
    one: how likely as many failures or more fall into the slice, were it like the rest. Counts are shrunk to the
    number of independent prompts that they are worth (`worth`), rounded in favour of the slice.
    """
    layers = layers_of(table.of([one]), metric)
    rates: list[SliceRate] = []
    for masks in _in_parts(slices, layers):
        inside, outside = _sums(layers, 0, masks), _sums(layers, 0, ~masks)
        p = fisher(*_counts(inside, np.floor), *_counts(outside, np.ceil))
        rates += _rates(metric, inside, outside, p)
    return _over_all(rates)


def slices_against(
    table: ScoreTable, metric: Metric, one: str, baseline: str, slices: Sequence[Mask]
) -> list[SliceRate]:
    """Each slice against the same prompts at another checkpoint, as far as both have scores; otherwise the same.

    p is of the sign test over groups: of those in which one of the two fails more often, each is as likely to be worse
    at the one as at the other.
    """
    layers = layers_of(_common(table.of([one, baseline])), metric)
    rates: list[SliceRate] = []
    for masks in _in_parts(slices, layers):
        own, other = (_sums(layers, row, masks) for row in (0, 1))
        rates += _rates(metric, own, other, sign_test(own.sums[0] - other.sums[0]))
    return _over_all(rates)


def fisher(failed: Counts, prompts: Counts, rest_failed: Counts, rest_prompts: Counts) -> Floats:
    """Chance of as many failures in each slice or more, given how many there are at all: (N,).

    3 of 3 inside and 0 of 3 outside: 1 of the 20 ways to place 3 failures, .05. Without prompts on a side: 1.
    """
    p: Floats = hypergeom.sf(failed - 1, prompts + rest_prompts, failed + rest_failed, prompts)
    return p


def sign_test(differences: Floats) -> Floats:
    """Chance of as many groups above 0 or more, from differences (N, G), were either sign as likely; 0 counts nowhere.

    5 above and none below: 1 / 32.
    """
    above, below = (differences > 1e-9).sum(axis=1), (differences < -1e-9).sum(axis=1)
    p: Floats = binom.sf(above - 1, above + below, 0.5)
    return p


def worth(failed: Floats, prompts: Floats) -> Floats:
    """How many independent prompts the groups (N, G) are worth: (N,), all of them where each group is one prompt.

    Otherwise over the design effect, as in `effective_n`, and never more than there are. Two groups of five alike, one
    failing and one not, are worth 1: p (1 - p) = 1/4 over a variance of 1/4 between the two.
    """
    n = prompts.sum(axis=1)
    single = n <= (prompts > 0).sum(axis=1)
    return np.where(single, n, np.minimum(n, effective_n(failed, prompts, n)))


def _counts(sums: Sums, rounded: Callable[[Floats], Floats]) -> tuple[Counts, Counts]:
    """Failures and prompts, (N,) each, shrunk to what they are worth; failures rounded as told."""
    failed, prompts = sums.sums
    total = prompts.sum(axis=1)
    n = np.where(total > 0, np.round(worth(failed, prompts)), 0.0)
    share = failed.sum(axis=1) / np.maximum(total, 1e-300)
    whole = rounded(np.round(share * n, 6))  # sums of thirds are whole but for rounding
    return np.minimum(n, whole).astype(np.int64), n.astype(np.int64)


def _in_parts(slices: Sequence[Mask], layers: Layers) -> Iterator[Mask]:
    """The slices as masks (N, I) over the layers' items, so many at a time that their sums stay small."""
    step = max(1, LARGEST // max(layers.places.size, 1))
    for start in range(0, len(slices), step):
        yield np.stack([mask[layers.places] for mask in slices[start : start + step]])


def _sums(layers: Layers, row: int, masks: Mask) -> Sums:
    """Group sums of one checkpoint in each slice, as if the slices were checkpoints: (M, N, G)."""
    groups, first = np.unique(layers.items.group, return_index=True)
    chosen = layers.sums[:, row, None, :] * masks
    return Sums(
        sums=np.add.reduceat(chosen, first, axis=2) if first.size else chosen,
        groups=groups,
        strata=layers.items.stratum[first],
        n=(layers.scored[row] & masks).sum(axis=1),
        unscored=(layers.unscored[row] & masks).sum(axis=1),
        worst=layers.worst[:, row] @ masks.T,
        best=layers.best[:, row] @ masks.T,
        repeats=np.full(masks.shape[0], layers.repeats[row]),
    )


def _common(pair: ScoreTable) -> ScoreTable:
    """The same with an item's values dropped where one of the two has none."""
    axes = {}
    for axis, values in pair.axes.items():
        both = np.asarray((~np.isnan(values)).any(axis=2).all(axis=0))
        axes[axis] = np.where(both[None, :, None], values, np.nan)
    return replace(pair, axes=axes)


def _rates(metric: Metric, own: Sums, other: Sums, p: Floats) -> list[SliceRate]:
    """With the p-values of single slices, which `_over_all` corrects."""
    pairs = zip(estimates_of(metric, own), estimates_of(metric, other), p.tolist(), strict=True)
    return [SliceRate(rate, against, one, one) for rate, against, one in pairs]


def _over_all(rates: Sequence[SliceRate]) -> list[SliceRate]:
    corrected = holm(np.array([one.single_p for one in rates])).tolist()
    return [replace(one, p=p) for one, p in zip(rates, corrected, strict=True)]
