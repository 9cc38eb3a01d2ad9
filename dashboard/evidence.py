"""What a pick rests on, computed from single scores: paired differences and the pick on the select split."""

from __future__ import annotations

from collections.abc import Sequence

from duckdb import DuckDBPyConnection

from eval.comparison import Pick, paired_difference, pick
from eval.metrics import METRICS
from eval.scores import load_scores
from eval.statistics import Estimate


def differences(
    db: DuckDBPyConnection, study_id: str, judge_id: str, pair: tuple[str, str], metrics: Sequence[str]
) -> dict[str, Estimate]:
    """Each metric of the pair's first checkpoint minus that of its second, on all items, by metric name."""
    table = load_scores(db, study_id, judge_id)
    return {name: paired_difference(table, METRICS[name], *pair) for name in metrics}


def recommended(
    db: DuckDBPyConnection,
    study_id: str,
    judge_id: str,
    metric: str,
    candidates: Sequence[str],
    others: Sequence[str],
) -> Pick | None:
    """The best of `candidates` by `metric` on the select split and its numbers on confirm; None without scores."""
    table = load_scores(db, study_id, judge_id)
    known = [name for name in candidates if name in table.checkpoints]
    compared = [name for name in others if name in table.checkpoints]
    if not known:
        return None
    return pick(table, METRICS[metric], known, compared)
