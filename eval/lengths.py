"""How long answers are: safety-tuned models grow wordy or curt, and judges like long answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import duckdb
import numpy as np

from eval.belonging import ANSWERS
from eval.measure import measure
from eval.metrics import Metric, Part
from eval.scores import ScoreTable
from eval.statistics import Estimate, Floats

UNITS = ("characters", "tokens")


@dataclass(frozen=True, slots=True)
class Length:
    """Mean length of one checkpoint's answers to the prompts of one kind, all turns together."""

    checkpoint_id: str
    kind: str
    characters: Estimate
    """Without bounds for failed answers: they have no length."""
    tokens: Estimate
    """Of the checkpoint's own tokenizer; as served models count them."""


def answer_lengths(connection: duckdb.DuckDBPyConnection, study_id: str, table: ScoreTable) -> list[Length]:
    """The lengths for each checkpoint of a study and each kind of prompts that is answered in words.

    `table` is the study's as `load_scores` gives it, with all items: judged or not, an answer counts.
    """
    axes = _lengths(connection, study_id, table)
    told = replace(table, axes={**table.axes, **axes}, failed=np.zeros_like(table.failed))
    return list(_by_kind(told))


def _by_kind(table: ScoreTable) -> Iterator[Length]:
    for kind in np.unique(table.items.kind[table.items.kind != "text"]):
        characters, tokens = (mean_lengths(table, str(kind), unit) for unit in UNITS)
        for name, first, second in zip(table.checkpoints, characters, tokens, strict=True):
            yield Length(name, str(kind), first, second)


def mean_lengths(table: ScoreTable, kind: str, unit: str) -> list[Estimate]:
    """The mean of each checkpoint's answers to prompts of one kind, by axis `unit` (C, I, S) of the table."""
    longest = float(np.nanmax(table.axes[unit], initial=1.0))
    metric = Metric(unit, "mean", (Part(kind, lambda one: one.axes[unit]),), high=longest)
    return [replace(found, worst=None, best=None) for found in measure(table, metric)]


def _lengths(connection: duckdb.DuckDBPyConnection, study_id: str, table: ScoreTable) -> dict[str, Floats]:
    """(C, I, S) for each unit, NaN where there is no answer."""
    rows = connection.execute(_LENGTHS, {"study": study_id}).fetchnumpy()
    row = {name: i for i, name in enumerate(table.checkpoints)}
    samples = rows["sample_ix"].astype(np.int64)
    kept = samples < table.failed.shape[2]
    place = (
        np.array([row[str(c)] for c in rows["checkpoint_id"]], dtype=np.int64)[kept],
        rows["item"][kept],
        samples[kept],
    )
    found = {}
    for unit in UNITS:
        found[unit] = np.full(table.failed.shape, np.nan)
        found[unit][place] = rows[unit][kept]
    return found


_LENGTHS = f"""
WITH items AS (  -- numbered as in a score table
  SELECT prompt_id, row_number() OVER (ORDER BY s.name, i.set_id, i.item_key) - 1 AS item
  FROM study_set JOIN set_item i USING (set_id) JOIN prompt_set s USING (set_id) WHERE study_id = $study
), lengths AS (
  SELECT a.checkpoint_id, a.prompt_id, a.sample_ix, sum(length(body))::DOUBLE AS characters,
    sum(tokens)::DOUBLE AS tokens
  FROM {ANSWERS} a JOIN answer_turn t USING (answer_id) JOIN text ON text.text_id = t.text_id
  WHERE a.error_kind IS NULL GROUP BY ALL
)
SELECT * FROM items JOIN lengths USING (prompt_id)
"""
