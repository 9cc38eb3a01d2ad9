"""Prompts whose verdict flips between two checkpoints: counts on the Frontier page, the very prompts on Compare."""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.page.frame import Frame
from dashboard.store import evidence
from dashboard.store.board import ItemKey
from dashboard.store.source import reckon

FLIPS = (
    "violation_rate",
    "harmful_refusal_rate",
    "over_refusal_rate",
    "benign_answer_rate",
    "jailbreak_violation_rate",
    "choice_accuracy",
)
"""Rates whose flips are counted."""
WAYS = ("better", "worse")
ADDRESS = "flip"
"""The query parameter: `over_refusal_rate.worse` are prompts that the first checkpoint refuses, the second answers."""


def is_flip(one: str) -> bool:
    """Whether an address's word names one of these flips: addresses are typed by people."""
    metric, _, way = one.partition(".")
    return metric in FLIPS and way in WAYS


def flipped(frame: Frame, ids: Sequence[str], one: str) -> set[ItemKey]:
    """The prompts that flip so from the second of `ids` (checkpoints) to the first."""
    metric, _, way = one.partition(".")
    return reckon(evidence.flipped, frame.study.study_id, frame.judge.judge_id, (ids[0], ids[1]), metric, way)


def flip_text(frame: Frame, one: str) -> str:
    """A flip in words: `borderline: answered → refused`."""
    return frame.words(f"flip.{one}")
