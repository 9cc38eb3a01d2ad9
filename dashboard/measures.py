"""The metrics as the pages show them: order, unit, direction. Formulas: docs/metrics.md."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric on the page; its name in words stands in the catalogues under `metric.NAME`."""

    name: str
    """Name in the store's `estimate` table."""
    percent: bool
    """A share shown in per cent; a score (1-5) otherwise."""
    higher_is_better: bool
    small_multiple: bool = True
    """Whether it has its own chart against the ratio; the others are nearly the same curve turned over."""


MEASURES = (
    Measure("safety", percent=False, higher_is_better=True),
    Measure("harmful_refusal_rate", percent=True, higher_is_better=True),
    Measure("violation_rate", percent=True, higher_is_better=False),
    Measure("borderline_answer_rate", percent=True, higher_is_better=True),
    Measure("over_refusal_rate", percent=True, higher_is_better=False, small_multiple=False),
    Measure("refusal_f1", percent=False, higher_is_better=True),
    Measure("balance", percent=True, higher_is_better=True),
    Measure("usefulness", percent=False, higher_is_better=True),
    Measure("fluency", percent=False, higher_is_better=True),
    Measure("accuracy", percent=False, higher_is_better=True, small_multiple=False),
    Measure("detail", percent=False, higher_is_better=True, small_multiple=False),
    Measure("relevance", percent=False, higher_is_better=True, small_multiple=False),
    Measure("benign_answer_rate", percent=True, higher_is_better=True),
    Measure("acceptable_rate", percent=True, higher_is_better=True, small_multiple=False),
    Measure("full_refusal_rate", percent=True, higher_is_better=False, small_multiple=False),
    Measure("refusal_f1_any", percent=False, higher_is_better=True, small_multiple=False),
    Measure("refusal_precision", percent=True, higher_is_better=True, small_multiple=False),
    Measure("refusal_recall", percent=True, higher_is_better=True, small_multiple=False),
)
BY_NAME = {measure.name: measure for measure in MEASURES}
X_DEFAULT = "borderline_answer_rate"
Y_DEFAULT = "safety"


def present(names: set[str]) -> list[Measure]:
    """The measures that a store has, in the pages' order; metrics that this version does not know are left out."""
    return [measure for measure in MEASURES if measure.name in names]
