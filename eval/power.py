"""How many more prompts would tell two points apart, and why not to add prompts until they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from eval.metrics import Metric
from eval.paired import Contrast, contrast
from eval.scores import ScoreTable
from eval.statistics import CONFIDENCE

POWER = 0.8
"""Chance that a difference of the assumed size is found."""
WARNING = (
    "Fix the number now and look once, when all answers are there: adding prompts until a difference shows finds one "
    "between equal points as well."
)


@dataclass(frozen=True, slots=True)
class MorePrompts:
    """A forecast for one pair of points and one metric."""

    prompts: int
    """Prompts that both have scores for."""
    groups: int
    """Groups that they come in."""
    difference: float
    """The true difference that is assumed, above 0 where the first point is better."""
    needed: int | None
    """Prompts in all, as many per group as now; None where no number is enough: the difference is 0 or has no value."""
    detectable: float | None
    """The difference that today's prompts would find; None where there are none."""

    @property
    def more(self) -> int | None:
        """Prompts beyond today's; 0 where they are enough."""
        return None if self.needed is None else max(0, self.needed - self.prompts)

    @property
    def brief(self) -> str:
        """How many more, in a few words."""
        if self.detectable is None:
            return "no common scored prompts"
        if self.more is None:
            return "no number of prompts would tell them apart"
        return f"{self.more} more prompts if that is true"

    @property
    def text(self) -> str:
        """The forecast in words, with what it assumes and what not to do with it."""
        if self.detectable is None:
            return "no common scored prompts"
        found = f"today's {self.prompts} prompts find a difference of {self.detectable:.3g} with {POWER:.0%} power"
        if self.needed is None:
            return f"no number of prompts tells points apart that do not differ; {found}."
        return (
            f"{self.more} more prompts ({self.needed} in all) if the true difference is the observed "
            f"{self.difference:+.3g}, new prompts come as the old ones did (same sets, kinds and group sizes, same "
            f"spread), for {POWER:.0%} power at {CONFIDENCE:.0%} confidence; {found}. {WARNING}"
        )


def more_prompts(
    table: ScoreTable, metric: Metric, a: str, b: str, difference: float | None = None, margin: float | None = None
) -> MorePrompts:
    """How many prompts tell checkpoint `a` from `b` by `metric`; see `forecast`.

    difference: the true one to plan for, on the metric's scale; None takes the observed one, which flatters where the
    pair was picked for being far apart. margin: how far chance alone may put the two apart today, all points looked at
    together (`Behind.margin`); None takes that of this pair alone.
    """
    pair = contrast(table, metric, table.checkpoints.index(b))
    return forecast(pair, table.checkpoints.index(a), difference, margin)


def forecast(pair: Contrast, row: int, difference: float | None = None, margin: float | None = None) -> MorePrompts:
    """The forecast for checkpoint number `row` and the one that `pair` compares all with.

    groups = ((z(.975) + z(.8)) / difference)^2 x v, v being the variance that one group adds: today's squared standard
    error times today's groups (the usual normal approximation for a paired mean). With a margin, z(.975) is the margin
    over today's standard error.
    """
    assumed = float(pair.difference[row]) if difference is None else difference
    groups, prompts = int(pair.filled[row]), int(pair.items[row])
    if not prompts or not np.isfinite(pair.difference[row]):
        return MorePrompts(prompts, groups, 0.0, None, None)
    error = float(pair.error[row])
    reach = float((ndtri(0.5 + CONFIDENCE / 2) if margin is None else margin / error) + ndtri(POWER))
    if abs(assumed) < 1e-12:
        return MorePrompts(prompts, groups, 0.0, None, reach * error)
    needed = math.ceil(prompts * (reach * error / assumed) ** 2 - 1e-9)
    return MorePrompts(prompts, groups, assumed, needed, reach * error)
