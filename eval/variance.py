"""Where the noise of a score comes from: masks, prompts, samples, the judge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from eval.draws import centred, jackknife
from eval.measure import collect, statistic_of
from eval.metrics import Metric
from eval.scores import ScoreTable
from eval.statistics import CONFIDENCE, Floats

LEAST_SEEDS = 3
"""Mask seeds of a ratio from which on their spread is estimated."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Variance components of one answer's score, in squared units of the score; None where the design cannot tell.

    An estimate may be a little below 0 where the truth is near it; it is not cut off, so that means stay right.
    """

    mask: float | None
    """Between mask seeds: what all prompts share."""
    prompt: float | None
    """Between prompts: what all mask seeds share."""
    mask_by_prompt: float | None
    """What a mask seed does to one prompt alone."""
    sample: float | None
    """Between answers of one merge to one prompt."""
    judge: float | None
    """Between judgements of one answer."""


def split_variance(scores: Floats) -> Parts:
    """The parts of the variance of scores (A mask seeds, P prompts, S samples, R judgements), NaN where there is none.

    Masks and prompts are crossed; samples lie within both, judgements within samples; all effects are random and
    independent. Half the squared difference of two scores has the sum of the parts that they do not share as its
    expectation, so the mean over all pairs that share an answer, a (mask, prompt), a prompt, a mask, or nothing gives
    five equations for five parts (Koch 1968). With no gaps these are the expected mean squares of the analysis of
    variance; with gaps they stay unbiased.
    """
    known = ~np.isnan(scores)
    y = np.where(known, scores - (np.nanmean(scores) if known.any() else 0.0), 0.0)
    answer = _Pairs.within(y, known, (3,))
    cell = _Pairs.within(y, known, (2, 3)) - answer
    prompt = _Pairs.within(y, known, (0, 2, 3)) - cell - answer
    mask = _Pairs.within(y, known, (1, 2, 3)) - cell - answer
    apart = _Pairs.within(y, known, (0, 1, 2, 3)) - prompt - mask - cell - answer
    return Parts(
        mask=_known(apart.mean - mask.mean),
        prompt=_known(apart.mean - prompt.mean),
        mask_by_prompt=_known(prompt.mean + mask.mean - apart.mean - cell.mean),
        sample=_known(cell.mean - answer.mean),
        judge=_known(answer.mean),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs of scores: how many, and the sum of their halved squared differences."""

    count: float
    total: float

    @classmethod
    def within(cls, y: Floats, known: NDArray[np.bool_], axes: tuple[int, ...]) -> _Pairs:
        """All pairs that agree in every index but `axes`."""
        n = known.sum(axis=axes).astype(np.float64)
        total = (n * (y**2).sum(axis=axes) - y.sum(axis=axes) ** 2).sum() / 2
        return cls(float((n * (n - 1)).sum() / 2), float(total))

    def __sub__(self, other: _Pairs) -> _Pairs:
        return _Pairs(self.count - other.count, self.total - other.total)

    @property
    def mean(self) -> float:
        """NaN where there is no pair."""
        return self.total / self.count if self.count > 0 else math.nan


@dataclass(frozen=True, slots=True)
class SeedSpread:
    """How much the mask seed moves a metric at one ratio."""

    seeds: int
    """Those at which the metric has a value."""
    mean: float
    """Of the metric over them; NaN where there is none."""
    sd: float | None
    """Standard deviation between seeds beyond what the prompts explain; None: fewer than three, not estimated."""
    low: float | None
    """Of the mean, 95 %, for masks and prompts not seen; None where `sd` is."""
    high: float | None

    @property
    def text(self) -> str:
        """The spread in words."""
        if self.sd is None:
            return f"not estimated: {self.seeds} mask seed{'s' * (self.seeds != 1)}, at least {LEAST_SEEDS} needed"
        return f"sd {self.sd:.3g} between {self.seeds} mask seeds"


def seed_spread(values: Floats, pull: Floats) -> SeedSpread:
    """The mask seed as a random effect at one ratio, the prompts being the same for all seeds.

    values (A,) are the metric at each mask seed; pull (A, G) what each group adds to its error (the squares of a row
    add up to its variance). Seeds differ by chance of the prompts too, each pair by the squared length of the
    difference of its pulls; what the variance between the values has beyond half of that mean is the masks'. Seeds are
    never pooled as if their prompts were different ones: the mean's error holds the prompts' once. A seed without a
    value (NaN) is left out.
    """
    known = np.isfinite(values)
    values, pull = values[known], pull[known]
    seeds, mean = values.size, float(values.mean()) if values.size else math.nan
    if seeds < LEAST_SEEDS:
        return SeedSpread(seeds, mean, None, None, None)
    by_prompts = float(((pull - pull.mean(axis=0)) ** 2).sum() / (seeds - 1))
    between = max(0.0, float(values.var(ddof=1)) - by_prompts)
    error = (between / seeds + float((pull.mean(axis=0) ** 2).sum())) ** 0.5
    reach = float(stdtrit(seeds - 1, 0.5 + CONFIDENCE / 2)) * error
    return SeedSpread(seeds, mean, between**0.5, mean - reach, mean + reach)


def spread_of(table: ScoreTable, metric: Metric, names: Sequence[str]) -> SeedSpread:
    """The spread of a metric between the checkpoints `names` (ids), which are one ratio's mask seeds."""
    sums, statistic = collect(table, metric), statistic_of(metric)
    rows = [table.checkpoints.index(name) for name in names]
    own = sums.sums[:, rows]
    return seed_spread(statistic(own.sum(axis=2)), centred(jackknife(statistic, own), sums.strata))
