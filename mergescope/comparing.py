"""A study's points side by side, in words: which are recommended, how sure that is, and what would make it surer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from eval.baseline import Against, against_baseline
from eval.metrics import METRICS
from eval.power import WARNING
from eval.recommended import DEFAULT_RULE
from eval.rule import parse_rule
from eval.separation import Separation
from eval.statistics import Estimate
from eval.variance import spread_of
from eval.verdicts import wavering
from mergescope.ground.errors import MergescopeError
from mergescope.noise import noise_lines
from mergescope.recommending import Point, Recommendation, recommend
from mergescope.study import Study

BASELINES = ("model-useful", "base", "model-safe")
"""What points are compared with if nobody says: the first of these that was evaluated."""


def compare(study: Study, store: Path, rule: str | None = None, baseline: str | None = None) -> Iterator[str]:
    """The comparison, line by line; raises MergescopeError for a rule or a baseline that is not understood.

    rule: as `parse_rule` reads it; None takes DEFAULT_RULE. baseline: a reference's label; None takes the first of
    BASELINES.
    """
    found = recommend(study, store, parse_rule(rule or DEFAULT_RULE))
    against = _baseline(found, baseline)
    yield f"rule: {found.standings.rule.text}"
    prompts = found.table.items.kind.size
    yield f"on the {prompts} prompts of the select split, by {found.judge}; the confirm split stays unread"
    yield from _standings(found)
    if found.separation is not None:
        yield from _recommended(found, found.separation)
    if against is not None:
        yield from _differences(found, against)
    yield from _wavering(found)
    yield from noise_lines(study, store, found)


def _baseline(found: Recommendation, named: str | None) -> str | None:
    if named is None:
        return next((label for label in BASELINES if label in found.references), None)
    if named not in found.references:
        cure = f"use one of {', '.join(found.references)}" if found.references else "none was evaluated: leave it out"
        raise MergescopeError("no such checkpoint", where="--baseline", value=named, cure=cure)
    return named


def _standings(found: Recommendation) -> Iterator[str]:
    rule, metric = found.standings.rule, METRICS[found.standings.rule.objective]
    names = [point.checkpoint_id for point in found.points]
    yield ""
    yield f"{'point':18}{metric.name:>26}{'P(best)':>9}" + "".join(f"  {c.text}" for c in rule.constraints)
    for name, point in zip(names, found.points, strict=True):
        standing, estimate = found.standings.points[name], found.found.objective[name]
        met = "".join(
            f"  {f'{share:.1%} of draws':>{len(c.text)}}"
            for share, c in zip(standing.meets, rule.constraints, strict=True)
        )
        mark = "  recommended" if point in found.chosen else "" if standing.feasible else "  does not meet the rule"
        yield f"{point.label:18}{_interval(estimate):>26}{standing.p_best:>9.1%}{met}{mark}"
    if rule.constraints:
        yield f"P(no point meets the rule) {found.standings.p_none:.1%}"


def _recommended(found: Recommendation, separation: Separation) -> Iterator[str]:
    label = {point.checkpoint_id: point.label for point in found.points}
    others = [name for name in separation.inseparable if name != separation.best]
    yield ""
    if others:
        yield f"best: {label[separation.best]}; not told from it (95 % for all together):"
        yield from _not_told(found, separation, {name: label[name] for name in others})
    else:
        yield f"{label[separation.best]} is ahead of all other points that meet the rule (95 % for all together)"
    for ratio in sorted({point.ratio for point in found.chosen}):
        seeds = [point.checkpoint_id for point in found.points if point.ratio == ratio]
        spread = spread_of(found.table, METRICS[found.standings.rule.objective], seeds)
        yield f"  mask seeds at r {ratio}: {spread.text}"


def _not_told(found: Recommendation, separation: Separation, others: Mapping[str, str]) -> Iterator[str]:
    """others: labels by id."""
    for name, label in others.items():
        behind, more = separation.points[name], found.found.more[name]
        yield f"  {label}: {behind.difference:.4f} behind, chance makes up to {behind.margin:.4f}; {more.brief}"
    yield f"  (80 % power, 95 % confidence for all together, new prompts like the old ones.) {WARNING}"


def _differences(found: Recommendation, baseline: str) -> Iterator[str]:
    rule = found.standings.rule
    for name in dict.fromkeys([rule.objective, *(c.metric for c in rule.constraints)]):
        yield ""
        yield f"{name} minus that of {baseline} (p over all points: Holm)"
        points = [point.checkpoint_id for point in found.points]
        rows = against_baseline(found.table, METRICS[name], points, found.references[baseline])
        for point, row in zip(found.points, rows, strict=True):
            yield _difference(point, row)


def _difference(point: Point, row: Against) -> str:
    flips = "" if row.flips is None else f"  {row.flips.better} better, {row.flips.worse} worse (p {row.flips.p:.2g})"
    return f"{point.label:18}{_interval(row.difference):>26}  p {row.p:.2g}{flips}"


def _wavering(found: Recommendation) -> Iterator[str]:
    ratios = [
        [point.checkpoint_id for point in found.points if point.ratio == ratio]
        for ratio in sorted({point.ratio for point in found.points})
    ]
    yield ""
    for name in ("harmful_refusal_rate", "over_refusal_rate"):
        items = wavering(found.table, METRICS[name], ratios).items.size
        yield f"{name}: {items} prompts change their verdict more than once along the ratio"


def _interval(estimate: Estimate) -> str:
    if estimate.value is None:
        return estimate.note or "no value"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
