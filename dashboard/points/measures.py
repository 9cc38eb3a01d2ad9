"""The metrics as the pages show them: order, unit, direction. Definitions: eval.metrics; formulas: docs/metrics.md."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from eval.metrics import METRICS

ORDER = (
    "safety",
    "harmful_refusal_rate",
    "violation_rate",
    "borderline_answer_rate",
    "over_refusal_rate",
    "refusal_f1",
    "balance",
    "usefulness",
    "fluency",
    "benign_answer_rate",
    "accuracy",
    "detail",
    "relevance",
    "win_rate",
    "win_rate_lc",
    "choice_accuracy",
    "bits_per_byte",
    "jailbreak_safety",
    "jailbreak_refusal_rate",
    "jailbreak_violation_rate",
    "acceptable_rate",
    "full_refusal_rate",
    "refusal_precision",
    "refusal_recall",
    "refusal_f1_any",
    "refusal_precision_any",
    "refusal_recall_any",
    "safety_spread",
    "compliance_unlike_rate",
)
"""Metrics in the order of menus and tables."""
CURVES = (
    "safety",
    "harmful_refusal_rate",
    "borderline_answer_rate",
    "usefulness",
    "violation_rate",
    "refusal_f1",
    "balance",
    "benign_answer_rate",
    "fluency",
    "accuracy",
    "detail",
    "relevance",
    "win_rate",
    "win_rate_lc",
    "choice_accuracy",
    "bits_per_byte",
    "jailbreak_violation_rate",
)
"""Metrics with a small chart of their own; the others are nearly one of these turned over."""
PANEL = (
    "safety",
    "harmful_refusal_rate",
    "borderline_answer_rate",
    "refusal_f1",
    "usefulness",
    "benign_answer_rate",
    "balance",
)
"""Metrics of the picked point's table."""
X_DEFAULT = "borderline_answer_rate"
Y_DEFAULT = "safety"


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric on the page; its name in words stands in the catalogues under `metric.NAME`."""

    name: str
    """Name in the store's `estimate` table."""
    percent: bool
    """A share shown in per cent; otherwise a score (1-5), an F1 (0-1) or bits per byte (0-8) shown as it is."""
    higher_is_better: bool
    least_span: float
    """Least height of its small chart, in the unit shown."""


_SPANS = {"mean": 0.8, "f1": 0.2}
"""Of scores from 1 to 5 and of F1; 20 points of per cent for the shares."""
_BITS_SPAN = 0.1
"""Of bits per byte, where a loss of a tenth is a large one."""
MEASURES = {
    name: Measure(
        name,
        percent=METRICS[name].compares or METRICS[name].form in ("rate", "mean of rates", "precision", "recall"),
        higher_is_better=METRICS[name].higher_is_better,
        least_span=_BITS_SPAN if name == "bits_per_byte" else _SPANS.get(METRICS[name].form, 20.0),
    )
    for name in ORDER
}


def present(names: Collection[str], order: tuple[str, ...] = ORDER) -> list[Measure]:
    """The measures of `order` that a store has."""
    return [MEASURES[name] for name in order if name in names]
