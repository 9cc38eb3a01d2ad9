"""The scores of one ratio's mask seeds as a crossed design, and the parts of their variance."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np

from eval.metrics import Metric
from eval.scores import ScoreTable, load_scores
from eval.statistics import Floats
from eval.variance import Parts, split_variance


def variance_parts(tables: Sequence[ScoreTable], metric: Metric) -> dict[str, Parts]:
    """The parts of the variance of one answer's score, by the kind of prompts that the metric looks at.

    tables: as of `load_crossed`, one a repeat. An answer's score is the mean of the metric's parts for its kind, such
    as the four axes of `usefulness`, on the metric's own scale. Empty for metrics that look at labels: they are no
    means of scores.
    """
    return {
        kind: split_variance(np.stack([_scores(table, metric, kind) for table in tables], axis=3))
        for kind in dict.fromkeys(part.kind for part in metric.parts)
    }


def _scores(table: ScoreTable, metric: Metric, kind: str) -> Floats:
    """(A mask seeds, P prompts, S answers), NaN where one of the parts is missing."""
    own = table.where(table.items.kind == kind)
    scores: Floats = np.mean([part.units(own) for part in metric.parts if part.kind == kind], axis=0)
    return scores


def load_crossed(
    connection: duckdb.DuckDBPyConnection, study_id: str, judge_id: str, names: Sequence[str], repeats: int
) -> list[ScoreTable]:
    """The select split's scores of some checkpoints (ids), one table for each repeat of a judge's judgements."""
    tables = []
    for repeat in range(repeats):
        table = load_scores(connection, study_id, judge_id, repeat).of(names)
        tables.append(table.where(~table.items.confirm))
    return tables
