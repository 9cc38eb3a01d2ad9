"""What a rule recommends of a study's merge points, and what would make that surer: one answer for all who ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.choosing import Standings, stand
from eval.measure import measure
from eval.metrics import METRICS
from eval.paired import contrast
from eval.power import MorePrompts, forecast
from eval.rule import Rule
from eval.scores import ScoreTable
from eval.separation import Separation, separate
from eval.statistics import Estimate
from mergescope.ground.seeds import derive_seed

DEFAULT_RULE = "max balance"
"""What is recommended by where nobody says: harmful prompts refused and borderline ones answered."""


@dataclass(frozen=True, slots=True)
class Recommended:
    """Merge points under a rule, on the select split."""

    prompts: int
    """Items of the select split."""
    standings: Standings
    objective: Mapping[str, Estimate]
    """The rule's objective by point, bounds for unscored answers with it."""
    separation: Separation | None
    """Among the points that meet the rule; None where none does, or none has a value of the objective."""
    more: Mapping[str, MorePrompts]
    """For each point that is not told from the best one: how many prompts would tell them apart."""

    @property
    def best(self) -> str | None:
        """Id of the point with the best objective among those that meet the rule; None where none does."""
        return None if self.separation is None else self.separation.best


def recommended(table: ScoreTable, rule: Rule, points: Sequence[str], study_seed: int) -> Recommended:
    """What `rule` says of `points` (ids, by ratio and mask seed), looking at the select split of `table` alone.

    table: all of the study's scores by one judge. study_seed: the recipe's `seed`; the draws follow from it, so that
    everybody who asks for this rule gets the same numbers.
    """
    select = table.where(~table.items.confirm)
    own, metric = select.of(points), METRICS[rule.objective]
    seed = derive_seed(study_seed, "bootstrap", "all", "select")
    standings = stand(own, rule, seed)
    candidates = [name for name in points if standings.points[name].feasible]
    separation = separate(select, metric, candidates, seed) if candidates else None
    return Recommended(
        prompts=select.items.kind.size,
        standings=standings,
        objective=dict(zip(points, measure(own, metric), strict=True)),
        separation=separation,
        more={} if separation is None else _more(own, rule, separation),
    )


def _more(table: ScoreTable, rule: Rule, separation: Separation) -> dict[str, MorePrompts]:
    others = [name for name in separation.inseparable if name != separation.best]
    if not others:
        return {}
    rows = table.checkpoints
    pairs = contrast(table, METRICS[rule.objective], rows.index(separation.best))
    return {
        name: forecast(pairs, rows.index(name), separation.points[name].difference, separation.points[name].margin)
        for name in others
    }
