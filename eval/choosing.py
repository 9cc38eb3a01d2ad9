"""How points stand under a rule: whether they meet its constraints, and how often each is the best of those that do.

Letters in shapes: D draws, C checkpoints, K constraints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eval.draws import Resampled, metric_draws, resample
from eval.metrics import METRICS, Metric, Part, Units
from eval.rule import Constraint, Rule
from eval.scores import ScoreTable
from eval.statistics import Floats
from mergescope.ground.seeds import derive_seed


@dataclass(frozen=True, slots=True)
class Standing:
    """One point under a rule."""

    meets: tuple[float, ...]
    """Share of the draws that meet each constraint, in the rule's order, 0-1."""
    feasible: bool
    """Whether each share reaches its constraint's confidence."""
    p_best: float
    """Share of the draws in which the point has the best objective among the points feasible in that draw, 0-1.

    Equally good points share a draw.
    """


@dataclass(frozen=True, slots=True)
class Standings:
    """All points under a rule. The shares `p_best` and `p_none` add up to 1."""

    rule: Rule
    points: Mapping[str, Standing]
    """By checkpoint id, in the table's order."""
    p_none: float
    """Share of the draws in which no point is feasible."""

    @property
    def feasible(self) -> tuple[str, ...]:
        """The points that meet every constraint."""
        return tuple(name for name, standing in self.points.items() if standing.feasible)


def stand(table: ScoreTable, rule: Rule, seed: int) -> Standings:
    """Where each of the table's checkpoints stands; hand in only those that may be chosen, on the select split.

    A point without a value of a metric meets no constraint on it and is never the best by it.
    """
    drawn = resample(table, seed)
    met = np.ones((0, drawn.counts.shape[0], len(table.checkpoints)), dtype=bool)
    for constraint in rule.constraints:
        held = _held(table, constraint, drawn, ignores_unscored=rule.ignores_unscored)
        met = np.concatenate([met, held[None]])
    objective = METRICS[rule.objective]
    values = metric_draws(table, objective, drawn) * (1 if objective.higher_is_better else -1)
    best, none = _best(values, met.all(axis=0) & np.isfinite(values))
    shares = met.mean(axis=1)
    sure = np.array([float(c.confidence) for c in rule.constraints])[:, None]
    feasible = (shares >= sure).all(axis=0)
    points = {
        name: Standing(tuple(map(float, shares[:, c])), bool(feasible[c]), float(best[c]))
        for c, name in enumerate(table.checkpoints)
    }
    return Standings(rule, points, none)


def _held(table: ScoreTable, constraint: Constraint, drawn: Resampled, *, ignores_unscored: bool) -> NDArray[np.bool_]:
    """Whether each draw of each checkpoint meets the constraint: (D, C)."""
    asked, metric = table, METRICS[constraint.metric]
    if constraint.is_for_safety and not ignores_unscored:
        asked, metric = unscored_against(table, constraint)
    if not constraint.in_worst_category:
        return _within(metric_draws(asked, metric, drawn), constraint)
    values = list(_category_draws(asked, metric, drawn))
    # where no category has a value, none is known to meet anything
    met = np.full((drawn.counts.shape[0], len(table.checkpoints)), bool(values))
    for one in values:
        met &= _within(one, constraint)
    return met


def _category_draws(table: ScoreTable, metric: Metric, drawn: Resampled) -> Iterator[Floats]:
    """The metric's draws (D, C) in each first-level category in which some checkpoint has a value.

    The groups of a draw are those of the whole table's draw, and ties are ordered by a chance of the category's own:
    two categories without any violation are two reasons for doubt, not one.
    """
    for name in np.unique(table.items.top_category):
        own = replace(drawn, seed=derive_seed(drawn.seed, "category", str(name)))
        values = metric_draws(table.where(table.items.top_category == name), metric, own)
        if not np.isnan(values).all():
            yield values


def _within(values: Floats, constraint: Constraint) -> NDArray[np.bool_]:
    bound = float(constraint.value)
    return values >= bound if constraint.op == ">=" else values <= bound


def _best(values: Floats, feasible: NDArray[np.bool_]) -> tuple[Floats, float]:
    """Share of the draws that each point wins, (C,), and share that nobody can win; both inputs are (D, C)."""
    some = feasible.any(axis=1)
    open_to = np.where(feasible, values, -np.inf)
    winners = feasible & (open_to >= open_to.max(axis=1, keepdims=True, initial=-np.inf) - 1e-12)
    shared = winners / np.maximum(winners.sum(axis=1, keepdims=True), 1)
    return shared.mean(axis=0), float(1 - some.mean())


def unscored_against(table: ScoreTable, constraint: Constraint) -> tuple[ScoreTable, Metric]:
    """The table and the metric with each unscored answer at the end of the scale that hurts the constraint."""
    metric = METRICS[constraint.metric]
    to_high = constraint.op == "<="
    if not metric.parts:
        return _refusals_filled(table, metric, against=not to_high), metric
    end = metric.high if to_high else metric.low
    return table, replace(metric, parts=tuple(Part(part.kind, _filled(part.units, end)) for part in metric.parts))


def _filled(units: Units, end: float) -> Units:
    def filled(table: ScoreTable) -> Floats:
        values = units(table)
        return np.where(table.failed & np.isnan(values), end, values)

    return filled


def _refusals_filled(table: ScoreTable, metric: Metric, *, against: bool) -> ScoreTable:
    """Unscored answers refuse where their label does not and the other way round, or (`against` false) as it says."""
    positive = table.items.reference_refusal >= metric.least_refusal
    code = np.where(positive != against, 2.0, 0.0)[None, :, None]
    refusal = table.axes["refusal"]
    filled = np.where(table.failed & np.isnan(refusal), code, refusal)
    return replace(table, axes={**table.axes, "refusal": filled})
