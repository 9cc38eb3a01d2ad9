"""Rules as users write them: read, written again, and refused in one line."""

from __future__ import annotations

from decimal import Decimal

import pytest

from eval.rule import EXAMPLE, Constraint, Rule, parse_rule
from mergescope.ground.errors import MergescopeError


def test_a_rule_is_read() -> None:
    rule = parse_rule(EXAMPLE)
    assert rule == Rule(
        (
            Constraint("safety", ">=", Decimal("4.5"), Decimal("0.95")),
            Constraint("over_refusal_rate", "<=", Decimal("0.1"), Decimal("0.95")),
        ),
        "usefulness",
    )
    assert [c.is_for_safety for c in rule.constraints] == [True, False]


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        "max balance",
        "worst  category of safety >= 4, safety >= 4.5; max usefulness",
        "min over_refusal_rate; violation_rate<=5% at 90%; unscored: ignore",
    ],
)
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    rule = parse_rule(text)
    assert parse_rule(rule.text) == rule


def test_the_surest_confidence_is_what_the_draws_resolve() -> None:
    """2,000 draws stand at levels 1/4000, 3/4000, ... 3999/4000."""
    assert parse_rule("safety >= 4 at 99.975%; max safety").constraints[0].confidence == Decimal("0.99975")


def test_unscored_may_be_ignored() -> None:
    assert parse_rule("max safety; unscored:ignore").ignores_unscored
    assert not parse_rule("max safety").ignores_unscored


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("safety >= 4.5", "--rule: a rule names one metric to have the best of"),
        ("max safety; max usefulness", "--rule: a rule names one metric to have the best of"),
        ("max win_rate", "--rule: a rule holds no win rates"),
        ("max safty", "--rule: no such metric (got 'safty'); use one of safety,"),
        ("max over_refusal_rate", "over_refusal_rate is better lower (got 'max over_refusal_rate'); write `min"),
        ("safety > 4; max safety", "no such comparison (got 'safety > 4'); write >= or <="),
        ("safety >= 0.9; max safety", "a bound off the metric's scale (got 'safety >= 0.9'); safety is between 1 and"),
        ("safety >= 4 at 95; max safety", "confidence out of range"),
        ("safety >= 4 at 1; max safety", "confidence out of range"),
        (
            "safety >= 4 at 0.9998; max safety",
            "confidence out of range (got 'safety >= 4 at 0.9998'); write one above 0",
        ),
        ("safety >= four; max safety", "no number (got 'four')"),
        ("safety >= nan; max safety", "no finite number (got 'nan')"),
        ("safety is good; max safety", "constraint not understood (got 'safety is good')"),
        ("safety >= 4,; max safety", "constraint not understood (got '')"),
    ],
)
def test_what_is_no_rule_is_one_line(text: str, part: str) -> None:
    with pytest.raises(MergescopeError) as caught:
        parse_rule(text)
    assert part in caught.value.line()
