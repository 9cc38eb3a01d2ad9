"""The win rate at equal length: a judge that likes long answers shall not make a wordy checkpoint look better.

After Dubois et al. 2024 (Length-Controlled AlpacaEval, arXiv 2404.04475), without their term for the prompt, which
needs many models. A pair's preference y (1 won, 0.5 tie, 0 lost) is fitted by

    P(y) = logistic(level + slope * x),   x = tanh(d / s),

with d the characters that the checkpoint's answer is longer by and s the standard deviation of d over its pairs; the
win rate at equal length is logistic(level). Ties are halves (fractional logit: Papke and Wooldridge 1996). Two made-up
ties of weight 0.5 at x = -1 and x = 1 keep the fit finite where all pairs are won, or length alone decides.

Letters in shapes: C checkpoints, U pairs (items times answers), G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, stdtrit

from eval.scores import ScoreTable
from eval.statistics import CONFIDENCE, Floats, Interval, Numbers

ORDERS = 2
"""Verdicts on a pair, one for each order: as answers to an item, they are no more than so many independent ones."""
STEPS = 100
"""Most steps of a fit; it needs about eight."""
LONGEST_STEP = 2.0
"""Longest step, in logits: Newton's own overshoots where a fit is nearly perfect."""
CLOSE = 1e-10
"""Step at which a fit is done."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Logistic regressions of C checkpoints."""

    level: Floats
    """(C,): logit of the win rate at equal length."""
    slope: Floats
    """(C,): logits from answers of equal length to much longer ones."""
    influence: Floats
    """(C, U): how far each pair moves the level."""
    variance: Floats
    """(C,): of the level, were the pairs independent and without ties."""


def even_win_rates(table: ScoreTable) -> Numbers:
    """Win rate at equal length of each checkpoint of a table of pairs, in its order, with a 95 % interval.

    The interval is Student's on the logit, from the sandwich variance of the level over groups. It counts a pair as at
    most two independent verdicts, and where all pairs are won or all are lost, a group as one pair. `worst` and `best`
    are fits with every unscored pair lost or won; one without a text counts as equally long.
    """
    won, failed = table.axes["preference"], table.failed
    longer = np.nan_to_num(table.axes["longer"])
    n = (~np.isnan(won)).any(axis=2).sum(axis=1)
    unscored = (failed.any(axis=2) & np.isnan(won).all(axis=2)).sum(axis=1)
    fit, weight = _fitted(won, longer, table.items.weight)
    ends = _interval(fit, won, weight, table.items.group)
    value = expit(fit.level)
    lost_all, won_all = (_filled(table, end) if failed.any() else value for end in (0.0, 1.0))
    shown = (np.where(n > 0, one, np.nan) for one in (value, ends.low, ends.high, lost_all, won_all))
    value, low, high, worst, best = shown
    return Numbers(value, low, high, n, unscored, worst, best)


def _filled(table: ScoreTable, end: float) -> Floats:
    """The win rates at equal length with every unscored pair lost (0) or won (1)."""
    won = table.axes["preference"]
    filled = np.where(table.failed & np.isnan(won), end, won)
    level: Floats = _fitted(filled, np.nan_to_num(table.axes["longer"]), table.items.weight)[0].level
    return np.asarray(expit(level))


def fit_level(won: Floats, x: Floats, weight: Floats) -> Fit:
    """Fit `won` (C, U), from 0 to 1, on `x` (C, U); pairs of weight 0 do not count."""
    made_up = np.ones((won.shape[0], 2))
    won, weight = np.hstack([won, 0.5 * made_up]), np.hstack([weight, 0.5 * made_up])
    x = np.hstack([x, made_up * [-1.0, 1.0]])
    level, slope = np.zeros(won.shape[0]), np.zeros(won.shape[0])
    for _ in range(STEPS):
        miss, bend = _slopes(level, slope, won, x, weight)
        up, along, _ = _solved(bend, x, miss.sum(axis=1), (miss * x).sum(axis=1))
        size = np.hypot(up, along)
        short = np.where(size < CLOSE, 0.0, np.minimum(1.0, LONGEST_STEP / np.maximum(size, CLOSE)))
        level, slope = level + short * up, slope + short * along
        if not short.any():
            break
    miss, bend = _slopes(level, slope, won, x, weight)
    moved, _, variance = _solved(bend, x, miss, miss * x)
    return Fit(level, slope, moved[:, :-2], variance)


def _slopes(level: Floats, slope: Floats, won: Floats, x: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Each pair's weighted residual and its weighted variance, both (C, U)."""
    p = expit(level[:, None] + slope[:, None] * x)
    return weight * (won - p), weight * p * (1 - p)


def _solved(bend: Floats, x: Floats, first: Floats, second: Floats) -> tuple[Floats, Floats, Floats]:
    """The information matrix's inverse times (first, second), each (C,) or (C, U), and the inverse's first entry."""
    a, b, c = bend.sum(axis=1), (bend * x).sum(axis=1), (bend * x * x).sum(axis=1)
    size = np.maximum(a * c - b * b, 1e-300)
    shape = (-1, *[1] * (first.ndim - 1))
    a, b, c, wide = (one.reshape(shape) for one in (a, b, c, size))
    up: Floats = (c * first - b * second) / wide
    along: Floats = (a * second - b * first) / wide
    return up, along, c.reshape(-1) / size


def _fitted(won: Floats, longer: Floats, weight: Floats) -> tuple[Fit, Floats]:
    """The fit of (C, I, S) arrays, and the pairs' weights (C, U); an item counts once, whatever its answers."""
    known = ~np.isnan(won)
    each = known * weight[:, None] / np.maximum(known.sum(axis=2, keepdims=True), 1)
    flat = each.reshape(won.shape[0], -1)
    x = _scaled(longer.reshape(flat.shape), flat)
    return fit_level(np.nan_to_num(won).reshape(flat.shape), x, flat), flat


def _scaled(longer: Floats, weight: Floats) -> Floats:
    """tanh(d / s); 0 where all pairs of a checkpoint differ by the same length, since nothing can be told then."""
    total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    mean = (weight * longer).sum(axis=1, keepdims=True) / total
    spread = np.sqrt((weight * (longer - mean) ** 2).sum(axis=1, keepdims=True) / total)
    scaled: Floats = np.tanh(np.divide(longer, spread, out=np.zeros_like(longer), where=spread > 1e-9))
    return scaled


def _interval(fit: Fit, won: Floats, weight: Floats, group: NDArray[np.int64]) -> Interval:
    asked = weight.reshape(won.shape).sum(axis=2)
    filled = np.maximum((_over_groups(asked, group) > 0).sum(axis=1), 1)
    moved = _over_groups(fit.influence.reshape(won.shape).sum(axis=2), group)
    spread = (moved**2).sum(axis=1) * filled / np.maximum(filled - 1, 1)
    all_won, all_lost = (np.all(np.isnan(won) | (won == end), axis=(1, 2)) for end in (1.0, 0.0))
    alike = np.maximum((asked > 0).sum(axis=1) / filled, 1.0)
    least = fit.variance * np.where(all_won | all_lost, alike, 1 / (ORDERS * won.shape[2]))
    reach = stdtrit(np.maximum(filled - 1.0, 1.0), 0.5 + CONFIDENCE / 2) * np.sqrt(np.maximum(spread, least))
    low, high = expit(fit.level - reach), expit(fit.level + reach)
    return Interval(np.where(all_lost, 0.0, low), np.where(all_won, 1.0, high))


def _over_groups(values: Floats, group: NDArray[np.int64]) -> Floats:
    """Sums of (C, I) over groups; what other checkpoints there are changes no bit of one's own."""
    order = np.argsort(group, kind="stable")
    _, first = np.unique(group[order], return_index=True)
    return np.add.reduceat(values[:, order], first, axis=1) if order.size else values
