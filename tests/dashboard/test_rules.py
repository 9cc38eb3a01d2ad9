"""The rule in the address: read, written again, and named where it is none."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dashboard.points.rules import read, suggested, written
from eval.metrics import METRICS
from eval.rule import Constraint


def test_a_rule_is_read_from_the_address() -> None:
    found, complaints = read("safety>=4.5@95;over_refusal_rate<=10%@90; worst:violation_rate<=0.2")
    assert complaints == []
    assert found == [
        Constraint("safety", ">=", Decimal("4.5"), Decimal("0.95")),
        Constraint("over_refusal_rate", "<=", Decimal("0.1"), Decimal("0.9")),
        Constraint("violation_rate", "<=", Decimal("0.2"), Decimal("0.95"), in_worst_category=True),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "safety>=4.5@95;over_refusal_rate<=10%@99.9",
        "worst:refusal_f1>=0.85@80;bits_per_byte<=1.25@50",
        "balance>=92.5%@97.5",
        "safety>=1@95;violation_rate<=100%@95",
    ],
)
def test_a_rule_is_written_as_it_is_read(text: str) -> None:
    assert written(read(text)[0]) == text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("safety>4", "constraint not understood"),
        ("nonsense>=1", "no such metric"),
        ("safety>=9", "off the metric's scale"),
        ("safety>=4@100", "confidence out of range"),
        ("win_rate>=50%", "holds no win rates"),
        ("<script>alert(1)</script>", "constraint not understood"),
    ],
)
def test_what_is_no_constraint_is_named_and_the_rest_counts(text: str, part: str) -> None:
    found, (complaint,) = read(f"{text};over_refusal_rate<=10%@95")
    assert complaint.startswith("rule: ")
    assert part in complaint
    assert written(found) == "over_refusal_rate<=10%@95"


@pytest.mark.parametrize("metric", [name for name, own in METRICS.items() if not own.compares])
def test_what_is_suggested_is_a_constraint(metric: str) -> None:
    assert read(written([suggested(metric)])) == ([suggested(metric)], [])
