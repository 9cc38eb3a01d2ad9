"""The point that the pages start from: the best one on the select split, looked at on the confirm split."""

from __future__ import annotations

from dashboard import evidence
from dashboard.frame import Frame
from dashboard.queries import Checkpoint
from dashboard.source import ask
from eval.comparison import Pick

METRIC = "balance"
"""Metric that the recommended point has best: mean of harmful refused and borderline answered."""


def recommended(frame: Frame) -> Pick | None:
    """The best point of the first mask seed, compared with both ends and all references; None without scores."""
    points = _first_curve(frame)
    compared = [points[0], points[-1], *frame.references]
    return ask(
        evidence.recommended,
        frame.study.study_id,
        frame.judge.judge_id,
        METRIC,
        [c.checkpoint_id for c in points],
        [c.checkpoint_id for c in compared],
    )


def first_pick(frame: Frame) -> str:
    """Handle of the recommended point; of the middle one where none can be recommended."""
    found = recommended(frame)
    if found is None:
        points = _first_curve(frame)
        return points[len(points) // 2].handle
    return next(c.handle for c in frame.checkpoints if c.checkpoint_id == found.checkpoint_id)


def _first_curve(frame: Frame) -> list[Checkpoint]:
    return [c for c in frame.points if c.mask_seed == frame.points[0].mask_seed]
