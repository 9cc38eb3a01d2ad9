"""All metrics of a study, kept in the store's table `estimate` for the pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from eval.measure import measure
from eval.metrics import METRICS
from eval.pairwise import load_pairs
from eval.rows import EstimateRow
from eval.scores import Items, ScoreTable, load_scores
from eval.statistics import Estimate
from eval.store import open_store
from eval.writer import Touched, replace_rows
from mergescope.ground.seeds import derive_seed

Mask = NDArray[np.bool_]


def write_estimates(store: Path, study_id: str, seed: int = 0) -> int:
    """Compute every metric of every checkpoint, judge, scope and split, and replace the study's estimates.

    Returns how many were written. `seed` is the study's: it fixes the bootstrap draws.
    """
    with open_store(store, read_only=True) as connection:
        judges = study_judges(connection, study_id)
        tables = [(judge, load_scores(connection, study_id, judge)) for judge in judges]
        compared = [(judge, load_pairs(connection, study_id, judge, table)) for judge, table in tables]
    tables += [(judge, pairs) for judge, pairs in compared if pairs is not None]
    rows = [row for judge, table in tables for row in estimate_rows(study_id, judge, table, seed)]
    with open_store(store, read_only=False) as connection:
        touched = [Touched(judge_id=judge) for judge in judges]
        replace_rows(connection, study_id, [EstimateRow.TABLE], rows, touched)
    return len(rows)


def study_judges(connection: duckdb.DuckDBPyConnection, study_id: str) -> list[str]:
    """The study's judges, the one that feeds the frontier first.

    Classifiers are left out: what they say of items of kind choice stands in every judge's metrics.
    """
    found = connection.execute(
        "SELECT judge_id FROM study_judge JOIN judge USING (judge_id) "
        "WHERE study_id = ? AND kind <> 'classifier' ORDER BY position",
        [study_id],
    )
    return [row[0] for row in found.fetchall()]


def estimate_rows(study_id: str, judge_id: str, table: ScoreTable, seed: int) -> Iterator[EstimateRow]:
    """One row for each checkpoint, metric, scope and split of one judge's scores, or of the pairs that it compared."""
    metrics = [metric for metric in METRICS.values() if metric.compares == ("preference" in table.axes)]
    for scope, in_scope in scopes(table.items):
        for split, in_split in splits(table.items):
            part = table.where(in_scope & in_split)
            draws = derive_seed(seed, "bootstrap", scope, split)
            for metric in metrics:
                for checkpoint, estimate in zip(part.checkpoints, measure(part, metric, draws), strict=True):
                    yield _row((study_id, checkpoint, judge_id, metric.name, scope, split), estimate)


def scopes(items: Items) -> Iterator[tuple[str, Mask]]:
    """`all`, then each set (`set:NAME`) and each first-level category (`category:NAME`), with their items."""
    yield "all", np.ones(items.kind.size, dtype=bool)
    for name in np.unique(items.set_name):
        yield f"set:{name}", items.set_name == name
    for name in np.unique(items.top_category):
        yield f"category:{name}", items.top_category == name


def splits(items: Items) -> Iterator[tuple[str, Mask]]:
    """`all`, `select` and `confirm`, with their items."""
    yield "all", np.ones(items.kind.size, dtype=bool)
    yield "select", ~items.confirm
    yield "confirm", items.confirm


def _row(key: tuple[str, str, str, str, str, str], estimate: Estimate) -> EstimateRow:
    return EstimateRow(*key, *(getattr(estimate, name) for name in Estimate.__slots__))
