"""What a pick rests on, computed from single scores: the rule's word, paired differences, flips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dashboard.store.board import Board, ItemKey
from eval.baseline import Against, against_baseline
from eval.comparison import paired_difference
from eval.metrics import METRICS
from eval.recommended import Recommended, recommended
from eval.rule import parse_rule
from eval.statistics import Estimate
from eval.verdicts import flips, verdicts


@dataclass(frozen=True, slots=True)
class FlipCounts:
    """Prompts whose majority verdict by one rate differs between a point and its baseline."""

    metric: str
    better: int
    """Only the point has the better verdict."""
    worse: int
    """Only the baseline has."""
    p: float
    """McNemar's exact test, two-sided, of this pair alone."""


def under_rule(board: Board, rule: str, points: Sequence[str], study_seed: int) -> Recommended | None:
    """What the rule (as `parse_rule` reads it) recommends of `points` (ids by ratio and mask seed).

    Points without any score are left out; None where no point has one.
    """
    known = [name for name in points if name in board.rows]
    return recommended(board.table, parse_rule(rule), known, study_seed) if known else None


def differences(board: Board, pair: tuple[str, str], metrics: Sequence[str]) -> dict[str, Estimate]:
    """Each metric of the pair's first checkpoint minus that of its second, on all items, by metric name."""
    table = board.table.of(pair)
    return {name: paired_difference(table, METRICS[name], *pair) for name in metrics}


def against(board: Board, metric: str, points: Sequence[str], baseline: str) -> list[Against]:
    """Each of `points` (ids) against one of them or a reference, on all items, p-values over all points (Holm)."""
    return against_baseline(board.table, METRICS[metric], points, baseline)


def flip_counts(board: Board, pair: tuple[str, str], metrics: Sequence[str]) -> list[FlipCounts]:
    """What flips from the pair's second checkpoint to its first by each of some rates, on all items."""
    table = board.table.of(pair)
    found = [(name, flips(table, METRICS[name], *pair)) for name in metrics]
    return [FlipCounts(name, flip.better, flip.worse, flip.p) for name, flip in found if flip is not None]


def flipped(board: Board, pair: tuple[str, str], metric: str, way: str) -> set[ItemKey]:
    """The items behind one of the counts of `flip_counts`; `way`: better or worse."""
    first, second = verdicts(board.table.of(pair), METRICS[metric])
    up = METRICS[metric].higher_is_better == (way == "better")
    places = set(np.flatnonzero((first == up) & (second == (not up))).tolist())
    return {key for key, place in board.places.items() if place in places}
