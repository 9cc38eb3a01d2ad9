"""All metrics of a study, kept in the store's table `estimate` for the pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from eval.length_control import even_win_rates
from eval.measure import gather, layers_of, notes_of, numbers_of
from eval.metrics import METRICS, Metric
from eval.pairwise import load_pairs
from eval.scores import Items, ScoreTable, load_scores
from eval.statistics import Numbers
from eval.store import open_store
from eval.writer import Touched, replace_estimates

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """One metric of all checkpoints in one scope and split, as one judge scored them."""

    judge_id: str
    metric: Metric
    scope: str
    split: str
    checkpoints: tuple[str, ...]
    found: Numbers


def write_estimates(store: Path, study_id: str) -> int:
    """Bring every metric of every checkpoint, judge, scope and split up to date.

    An estimate that comes out as it stands is not written again: where none has changed, the store's revision stays and
    pages keep what they have read. Returns how many were written.
    """
    with open_store(store, read_only=True) as connection:
        judges = study_judges(connection, study_id)
        tables = [(judge, load_scores(connection, study_id, judge)) for judge in judges]
        compared = [(judge, load_pairs(connection, study_id, judge, table)) for judge, table in tables]
    tables += [(judge, pairs) for judge, pairs in compared if pairs is not None]
    columns = as_columns(study_id, [part for judge, table in tables for part in parts_of(judge, table)])
    with open_store(store, read_only=False) as connection:
        return replace_estimates(connection, study_id, columns, [Touched(judge_id=judge) for judge in judges])


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


def parts_of(judge_id: str, table: ScoreTable) -> Iterator[Part]:
    """Every metric in every scope and split of one judge's scores, or of the pairs that it compared."""
    places = [
        (scope, split, in_scope & in_split)
        for scope, in_scope in scopes(table.items)
        for split, in_split in splits(table.items)
    ]
    mine = [metric for metric in METRICS.values() if metric.compares == ("preference" in table.axes)]
    for _, alike in groupby(mine, lambda metric: metric.looks_at):
        metrics = list(alike)
        layers = layers_of(table, metrics[0])
        for scope, split, mask in places:
            sums = gather(layers, mask[layers.places])
            for metric in metrics:
                even = metric.form == "even win rate"
                found = even_win_rates(table.where(mask)) if even else numbers_of(metric, sums)
                yield Part(judge_id, metric, scope, split, table.checkpoints, found)


def as_columns(study_id: str, parts: Sequence[Part]) -> Mapping[str, NDArray[np.generic]]:
    """The parts as columns of the table `estimate`; NaN stands for NULL."""
    counts = [len(part.checkpoints) for part in parts]
    columns: dict[str, NDArray[np.generic]] = {
        "study_id": np.full(sum(counts), study_id, dtype=object),
        "checkpoint_id": np.array([name for part in parts for name in part.checkpoints], dtype=object),
        "metric": np.repeat(np.array([part.metric.name for part in parts], dtype=object), counts),
    }
    for name in ("judge_id", "scope", "split"):
        columns[name] = np.repeat(np.array([getattr(part, name) for part in parts], dtype=object), counts)
    for name in Numbers.__slots__:
        columns[name] = np.concatenate([np.empty(0), *(getattr(part.found, name) for part in parts)])
    notes = [note for part in parts for note in notes_of(part.metric, part.found)]
    return columns | {"note": np.array(notes, dtype=object)}


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
