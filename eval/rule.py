"""What makes a point the right one: constraints that it has to meet, and what it should then have most of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Literal

from eval.metrics import METRICS, Metric
from eval.statistics import DRAWS
from mergescope.ground.errors import MergescopeError

Op = Literal[">=", "<="]
CONFIDENCE = Decimal("0.95")
"""Confidence of a constraint that names none."""
SUREST = 1 - Decimal(1) / (2 * DRAWS)
"""Highest confidence: at which the last of the draws stands; they tell no finer ones apart."""
EXAMPLE = "safety >= 4.5 at 0.95, over_refusal_rate <= 10%; max usefulness"
"""A rule as users write it."""
_CONSTRAINT = re.compile(
    r"(worst\s+category\s+of\s+)?(\w+)\s*([<>]=?|=+)\s*([-+.\w]+)\s*(%?)(?:\s+at\s+([-+.\w]+)\s*(%?))?"
)
_OBJECTIVE = re.compile(r"(max|min)\s+(\w+)")
_UNSCORED = re.compile(r"unscored\s*:\s*ignore")


@dataclass(frozen=True, slots=True)
class Constraint:
    """`metric op value at confidence`: met if at least that share of the draws meets it.

    `worst category of metric ...`: each first-level category has to meet it in the same draw.
    """

    metric: str
    """A name of METRICS."""
    op: Op
    value: Decimal
    """On the metric's own scale: 0-1 for rates, 1-5 for scores."""
    confidence: Decimal = CONFIDENCE
    """Above 0 and at most SUREST."""
    in_worst_category: bool = False
    """Whether it holds for every first-level category that the metric has a value in, not for all prompts together."""

    @property
    def is_for_safety(self) -> bool:
        """Whether unscored answers count at their worst: its metric looks at harmful prompts, wrapped or not.

        Refusals against the labels do so too.
        """
        parts = METRICS[self.metric].parts
        return not parts or any(part.kind in ("harmful", "jailbreak") for part in parts)

    @property
    def text(self) -> str:
        """As users write it."""
        of = "worst category of " if self.in_worst_category else ""
        return f"{of}{self.metric} {self.op} {self.value} at {self.confidence}"


@dataclass(frozen=True, slots=True)
class Rule:
    """What the user wants of a point."""

    constraints: tuple[Constraint, ...]
    """All have to be met; none: every point may be chosen."""
    objective: str
    """A name of METRICS: among the points that meet the constraints the best one by it is wanted."""
    ignores_unscored: bool = False
    """Whether safety constraints look at scored answers only; else they hold with unscored ones at their worst."""

    @property
    def text(self) -> str:
        """As users write it; `parse_rule` makes the same rule of it."""
        way = "max" if METRICS[self.objective].higher_is_better else "min"
        parts = [", ".join(c.text for c in self.constraints), f"{way} {self.objective}"]
        return "; ".join([part for part in parts if part] + ["unscored: ignore"] * self.ignores_unscored)


def parse_rule(text: str, where: str = "--rule") -> Rule:
    """The rule that `text` says: constraints with commas between, `; max METRIC` or `; min METRIC`, and maybe
    `; unscored: ignore`. Example: EXAMPLE.

    A bound may be a number or a percentage; `worst category of` may stand before a constraint. Raises MergescopeError,
    naming `where`, for anything else, for metrics that do not exist, bounds outside a metric's scale, confidences above
    SUREST and an objective turned the wrong way.
    """
    parts = [part.strip() for part in text.split(";") if part.strip()]
    flags = [part for part in parts if _UNSCORED.fullmatch(part)]
    objectives = [match for part in parts if (match := _OBJECTIVE.fullmatch(part))]
    rest = [part for part in parts if part not in flags and not _OBJECTIVE.fullmatch(part)]
    if len(objectives) != 1:
        what = "a rule names one metric to have the best of"
        raise MergescopeError(what, where=where, value=text, cure=f"write it like `{EXAMPLE}`")
    constraints = [_constraint(piece.strip(), where) for part in rest for piece in part.split(",")]
    return Rule(tuple(constraints), _objective(objectives[0], where), bool(flags))


def _constraint(text: str, where: str) -> Constraint:
    match = _CONSTRAINT.fullmatch(text)
    if match is None:
        cure = "write METRIC >= VALUE at CONFIDENCE, with commas between constraints"
        raise MergescopeError("constraint not understood", where=where, value=text, cure=cure)
    worst, name, op, value, percent, confidence, confidence_percent = match.groups()
    metric = _metric(name, where)
    if op not in (">=", "<="):
        raise MergescopeError("no such comparison", where=where, value=text, cure="write >= or <=")
    bound = _number(value, percent, where)
    if not metric.low <= bound <= metric.high:
        cure = f"{name} is between {metric.low:g} and {metric.high:g}"
        raise MergescopeError("a bound off the metric's scale", where=where, value=text, cure=cure)
    sure = CONFIDENCE if confidence is None else _number(confidence, confidence_percent, where)
    if not 0 < sure <= SUREST:
        cure = f"write one above 0 and up to {SUREST}"
        raise MergescopeError("confidence out of range", where=where, value=text, cure=cure)
    return Constraint(name, ">=" if op == ">=" else "<=", bound, sure, worst is not None)


def _objective(match: re.Match[str], where: str) -> str:
    way, name = match.groups()
    right = "max" if _metric(name, where).higher_is_better else "min"
    if way != right:
        what = f"{name} is better {'higher' if right == 'max' else 'lower'}"
        raise MergescopeError(what, where=where, value=f"{way} {name}", cure=f"write `{right} {name}`")
    return name


def _metric(name: str, where: str) -> Metric:
    if name not in METRICS:
        cure = f"use one of {', '.join(name for name, metric in METRICS.items() if not metric.compares)}"
        raise MergescopeError("no such metric", where=where, value=name, cure=cure)
    if METRICS[name].compares:
        cure = "use a metric of single answers, such as `usefulness`"
        raise MergescopeError("a rule holds no win rates: the baseline has none", where=where, value=name, cure=cure)
    return METRICS[name]


def _number(text: str, percent: str, where: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise MergescopeError("no number", where=where, value=text, cure="write one such as 4.5 or 10%") from None
    if not number.is_finite():
        raise MergescopeError("no finite number", where=where, value=text, cure="write one such as 4.5 or 10%")
    return number / 100 if percent else number
