"""Prompts whose failing goes to and fro along the ratio, and how long answers are along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from dashboard.charts.lines import Curve, Spread
from dashboard.failures.grid import ColumnOf
from dashboard.failures.kinds import Looked
from dashboard.failures.outcomes import Outcomes, Prompts, Tokens
from dashboard.failures.tables import FAILED, failure_table, token_table
from eval.lengths import mean_lengths
from eval.measure import measure
from eval.metrics import Metric, Part
from eval.scores import ScoreTable
from eval.statistics import Estimate
from eval.verdicts import wavering

TOKENS_SPAN = 10.0
"""Least height of a chart of lengths, in tokens."""
CUT_SPAN = 20.0
"""Of shares of cut answers, in points of per cent."""


@dataclass(frozen=True, slots=True)
class Waver:
    """One prompt that fails, does not and fails again along the ratio, or the other way round."""

    item: int
    """Number of the item."""
    changes: int
    """Beyond the one that a frontier explains."""
    states: tuple[int, ...]
    """At each ratio 1 where most answers fail, 0 where most do not, -1 where neither."""

    def turns(self) -> list[int]:
        """Places of the ratios before and after the first two changes: where it happens."""
        known = [place for place, state in enumerate(self.states) if state >= 0]
        changed = [(a, b) for a, b in pairwise(known) if self.states[a] != self.states[b]]
        return list(dict.fromkeys(place for pair in changed[:2] for place in pair))


def wavers(looked: Looked, prompts: Prompts, found: Mapping[str, Outcomes], shown: Sequence[ColumnOf]) -> list[Waver]:
    """The wavering prompts, the most wavering first; merges of one ratio vote together."""
    ratios = [[one.checkpoint_id for one in column.members] for column in shown if column.ratio is not None]
    table = failure_table(looked, prompts, {name: found[name] for some in ratios for name in some})
    told = wavering(table, FAILED, ratios)
    rows = zip(told.items.tolist(), told.changes.tolist(), told.verdicts.tolist(), strict=True)
    return [Waver(item, changes, tuple(states)) for item, changes, states in rows]


@dataclass(frozen=True, slots=True)
class Along:
    """One number along the ratio, of one mask seed and one kind of prompts."""

    kind: str
    unit: str
    """`tokens`, the mean length, or `cut`, the share of answers that ended at the token limit."""
    mask_seed: int | None
    members: tuple[ColumnOf, ...]
    estimates: tuple[Estimate, ...]


def lengths_along(
    prompts: Prompts, found: Mapping[str, Outcomes], lengths: Mapping[str, Tokens], shown: Sequence[ColumnOf]
) -> list[Along]:
    """Mean tokens and share of cut answers at each ratio, for each kind of prompts and mask seed."""
    ratios = [column for column in shown if column.ratio is not None]
    names = {one.checkpoint_id: one.mask_seed for column in ratios for one in column.members}
    table = token_table(prompts, {name: found[name] for name in names}, lengths)
    kinds = [str(kind) for kind in np.unique(table.items.kind[table.items.kind != "text"])]
    made: list[Along] = []
    for unit in ("tokens", "cut"):
        for kind in kinds:
            told = dict(zip(table.checkpoints, _means(table, kind, unit), strict=True))
            made += [_of_seed(kind, unit, seed, ratios, told) for seed in dict.fromkeys(names.values())]
    return [one for one in made if len(one.estimates) > 1]


def curve(along: Along, title: str) -> Curve:
    """As a small chart shows it; shares in per cent."""
    factor, span = (100.0, CUT_SPAN) if along.unit == "cut" else (1.0, TOKENS_SPAN)
    ends = [(e.value or 0.0, e.low or 0.0, e.high or 0.0) for e in along.estimates]
    return Curve(
        title,
        along.mask_seed,
        tuple(column.nearest_seed(along.mask_seed).handle for column in along.members),
        tuple(column.ratio or 0.0 for column in along.members),
        tuple(Spread(*(factor * end for end in three)) for three in ends),
        span,
    )


def _of_seed(kind: str, unit: str, seed: int | None, ratios: Sequence[ColumnOf], told: Mapping[str, Estimate]) -> Along:
    members = [column for column in ratios if any(one.mask_seed == seed for one in column.members)]
    numbers = [told[column.nearest_seed(seed).checkpoint_id] for column in members]
    known = [(column, number) for column, number in zip(members, numbers, strict=True) if number.value is not None]
    return Along(kind, unit, seed, tuple(column for column, _ in known), tuple(number for _, number in known))


def _means(table: ScoreTable, kind: str, unit: str) -> list[Estimate]:
    if unit == "tokens":
        return mean_lengths(table, kind, unit)
    share = Metric(unit, "rate", (Part(kind, lambda one: one.axes[unit]),), higher_is_better=False)
    return [replace(found, worst=None, best=None) for found in measure(table, share)]
