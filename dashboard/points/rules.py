"""The rule as the address carries it: `rule=safety>=4.5@95;over_refusal_rate<=10%@95&best=usefulness`.

`worst:` before a metric asks it of the worst category, the number behind @ is the confidence in per cent (95 where it
is left out), `ignore=unscored` looks at scored answers alone. The rule itself is eval's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from dashboard.page import state
from dashboard.points.measures import MEASURES
from eval.metrics import METRICS
from eval.rule import Constraint, Rule, parse_rule
from mergescope.ground.errors import MergescopeError

BEST = "balance"
"""The objective that pages start from, as the command line does."""
_PART = re.compile(r"(worst:)?(\w+)(>=|<=)([-+.\w]+%?)(?:@([-+.\w]+))?")


@dataclass(frozen=True, slots=True)
class Stated:
    """What the address says of a rule."""

    rule: Rule
    complaints: tuple[str, ...]
    """Why parts of the address are left out, a line each; what is typed there stands in them raw."""


def stated(objectives: Sequence[str]) -> Stated:
    """The reader's rule: address first, then the session; without either every point may be chosen.

    objectives: metrics that the study has, at least one; the first of them where neither BEST nor the wish is one.
    """
    constraints, complaints = read(state.recall("rule"))
    objective = state.one_of("best", objectives, unstated(objectives).objective)
    return Stated(Rule(tuple(constraints), objective, state.recall("ignore") == "unscored"), tuple(complaints))


def unstated(objectives: Sequence[str]) -> Rule:
    """The rule of an address that says none; `objectives` as for `stated`."""
    return Rule((), BEST if BEST in objectives else objectives[0], ignores_unscored=False)


def objectives_of(metrics: Sequence[str]) -> list[str]:
    """Those of a study's metrics that a rule may name: none that needs pairs of answers."""
    return [name for name in metrics if not METRICS[name].compares]


def read(text: str) -> tuple[list[Constraint], list[str]]:
    """The constraints of an address, and why parts of it are none."""
    found: list[Constraint] = []
    complaints: list[str] = []
    for part in filter(None, text.split(";")):
        try:
            found.append(_constraint(part.strip()))
        except MergescopeError as error:
            complaints.append(error.line())
    return found, complaints


def written(constraints: Sequence[Constraint]) -> str:
    """The constraints for the address; `read` makes the same ones of it."""
    return ";".join(map(_text, constraints))


def suggested(metric: str) -> Constraint:
    """A constraint to start from: 9 of 10 right, 1 of 10 wrong, or four fifths of a scale."""
    own = METRICS[metric]
    share = Decimal("0.9") if own.form != "mean" else Decimal("0.8")
    span = Decimal(str(own.high - own.low))
    value = Decimal(str(own.low)) + span * (share if own.higher_is_better else 1 - share)
    return Constraint(metric, ">=" if own.higher_is_better else "<=", value.quantize(Decimal("0.01")))


def plain(value: Decimal) -> str:
    """Without noughts at the end or an exponent: 4.50 is 4.5."""
    return f"{value.normalize():f}"


def _constraint(part: str) -> Constraint:
    match = _PART.fullmatch(part)
    if match is None:
        cure = "write METRIC>=VALUE@CONFIDENCE, such as safety>=4.5@95, with semicolons between"
        raise MergescopeError("constraint not understood", where="rule", value=part, cure=cure)
    worst, metric, op, value, confidence = match.groups()
    of = "worst category of " if worst else ""
    text = f"{of}{metric} {op} {value} at {confidence or 95}%; max safety"
    return parse_rule(text, where="rule").constraints[0]


def _text(constraint: Constraint) -> str:
    worst = "worst:" if constraint.in_worst_category else ""
    percent = MEASURES[constraint.metric].percent
    value = plain(constraint.value * 100) + "%" if percent else plain(constraint.value)
    return f"{worst}{constraint.metric}{constraint.op}{value}@{plain(constraint.confidence * 100)}"
