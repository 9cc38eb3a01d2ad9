"""The point that the pages start from: what the reader's rule recommends on the select split."""

from __future__ import annotations

from dashboard.page.frame import Frame
from dashboard.points.measures import present
from dashboard.points.rules import Stated, objectives_of, stated
from dashboard.store import evidence, queries
from dashboard.store.queries import Checkpoint
from dashboard.store.source import ask, reckon
from eval.recommended import Recommended
from eval.rule import Rule


def objectives(frame: Frame) -> list[str]:
    """Metrics that the study's rule may name; empty where it has none to choose by."""
    names = ask(queries.measured, frame.study.study_id, frame.judge.judge_id)
    return objectives_of([measure.name for measure in present(names)])


def rule_of(frame: Frame) -> Stated | None:
    """The reader's rule; None where the study has no metric to choose by."""
    found = objectives(frame)
    return stated(found) if found else None


def recommended(frame: Frame) -> Recommended | None:
    """What the reader's rule makes of the study's points; None without scores."""
    mine = rule_of(frame)
    return None if mine is None else under(frame, mine.rule)


def under(frame: Frame, rule: Rule) -> Recommended | None:
    """What a rule makes of the study's points, as `mergescope compare --rule` says it; None without scores."""
    points = [point.checkpoint_id for point in in_order(frame)]
    seed = int(frame.study.recipe.get("seed", 0))
    return reckon(evidence.under_rule, frame.study.study_id, frame.judge.judge_id, rule.text, points, seed)


def first_pick(frame: Frame) -> str:
    """Handle of the recommended point; of the middle one where none can be recommended."""
    found = recommended(frame)
    if found is None or found.best is None:
        curve = [c for c in frame.points if c.mask_seed == frame.points[0].mask_seed]
        return curve[len(curve) // 2].handle
    return next(c.handle for c in frame.points if c.checkpoint_id == found.best)


def in_order(frame: Frame) -> list[Checkpoint]:
    """The merge points by ratio, as the command line orders them: of equally good ones the middle one is best."""
    return sorted(frame.points, key=lambda c: (c.ratio or 0.0, c.mask_seed or 0, c.label, c.checkpoint_id))
