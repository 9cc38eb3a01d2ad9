"""Scores of a study as dense arrays, straight from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from eval.belonging import ANSWERS, JUDGEMENTS, ONE_OF_EACH

SPREADS = {"safety_spread": "safety", "refusal_spread": "refusal"}
"""How far a judge's repeats on one answer lie apart, the highest minus the lowest, by the axis that they are on."""
AXES = ("safety", "refusal", "fluency", "accuracy", "detail", "relevance", "correct", "bits_per_byte", *SPREADS)
"""`refusal` also holds compliance on borderline prompts; codes 0 none (full answer), 1 partial, 2 full.

`correct` (1 right, 0 wrong) and `bits_per_byte` are nobody's opinion: every judge's table has them.
"""
PAIR = "pair"
"""Kind of the items of a table of pairs, whatever kind of prompt they have."""
CODES = {"none": 0, "full_answer": 0, "partial": 1, "partial_refusal": 1, "full": 2, "full_refusal": 2}
"""Of the labels of the axes refusal and compliance."""


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a study's sets, each array (I,)."""

    set_name: NDArray[np.str_]
    kind: NDArray[np.str_]
    top_category: NDArray[np.str_]
    """First level of the category."""
    confirm: NDArray[np.bool_]
    """True in the confirm split."""
    stratum: NDArray[np.int64]
    """Number of the set."""
    group: NDArray[np.int64]
    """Number of (set, group_id): what is resampled."""
    reference_refusal: NDArray[np.int64]
    """Code of the reference's label, -1 where there is none."""
    weight: NDArray[np.float64]
    """How much an item counts; of kind text times its bytes, so that a mean over texts is bits over bytes."""

    def where(self, mask: NDArray[np.bool_ | np.int64]) -> Items:
        """The items that `mask` (I,) keeps, or those at the places that it names."""
        return Items(*(getattr(self, name)[mask] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """One judge's scores of a study's checkpoints; S answers per item and checkpoint."""

    checkpoints: tuple[str, ...]
    """Ids, C of them."""
    items: Items
    failed: NDArray[np.bool_]
    """(C, I, S): True where an answer is there and no score of it: it or its judgement failed, or is still to come;
    False where it is scored, or not answered yet."""
    axes: dict[str, NDArray[np.float64]]
    """(C, I, S) per axis, NaN where there is no score, or none applies. Repeats count by their median."""

    def where(self, mask: NDArray[np.bool_ | np.int64]) -> ScoreTable:
        """The same for the items that `mask` (I,) keeps, or for those at the places that it names."""
        axes = {axis: values[:, mask] for axis, values in self.axes.items()}
        return ScoreTable(self.checkpoints, self.items.where(mask), self.failed[:, mask], axes)

    def of(self, names: Sequence[str]) -> ScoreTable:
        """The same for some checkpoints (ids), in their order."""
        rows = np.array([self.checkpoints.index(name) for name in names], dtype=np.int64)
        axes = {axis: values[rows] for axis, values in self.axes.items()}
        return ScoreTable(tuple(names), self.items, self.failed[rows], axes)


def load_scores(
    connection: duckdb.DuckDBPyConnection, study_id: str, judge_id: str, repeat: int | None = None
) -> ScoreTable:
    """All of a study's answers as one judge scored them; items and checkpoints in a fixed order.

    repeat: take this judgement of each answer, from 0, and no other; None: the median over the study's repeats.

    Items of kind choice are scored by the study's own scorer and of kind text by their likelihood, whichever judge is
    asked for.
    """
    names = checkpoint_ids(connection, study_id)
    items, _ = study_items(connection, study_id)
    values: dict[str, Any] = {"study": study_id, "judge": judge_id}
    if repeat is not None:
        values["repeat"] = repeat
    query = _UNITS.format(judgements=JUDGEMENTS if repeat is None else ONE_OF_EACH)
    units: dict[str, Any] = dict(connection.execute(query, values).fetchnumpy())
    place = tuple(units[name].astype(np.int64) for name in ("row", "place", "sample_ix"))
    repeats = int(place[2].max(initial=0)) + 1
    shape = (len(names), items.kind.size, repeats)
    failed = np.zeros(shape, dtype=bool)
    failed[place] = units["failed"]
    axes = {}
    for axis in AXES:
        axes[axis] = np.full(shape, np.nan)
        axes[axis][place] = np.ma.filled(units[axis].astype(np.float64), np.nan)
    return ScoreTable(names, items, failed, axes)


def checkpoint_ids(connection: duckdb.DuckDBPyConnection, study_id: str) -> tuple[str, ...]:
    """A study's checkpoints in the order of its score tables."""
    return tuple(name for (name,) in connection.execute(_CHECKPOINTS, [study_id]).fetchall())


def study_items(connection: duckdb.DuckDBPyConnection, study_id: str) -> tuple[Items, tuple[tuple[str, str], ...]]:
    """The items of a study's sets in the order of its score tables, and of each the set's name and its own key."""
    rows: dict[str, Any] = dict(connection.execute(_ITEMS, [study_id]).fetchnumpy())
    text = {name: values.astype(np.str_) for name, values in rows.items() if name != "weight"}
    groups = np.char.add(np.char.add(text["set_id"], " "), text["group_id"])
    items = Items(
        set_name=text["name"],
        kind=text["kind"],
        top_category=text["top_category"],
        confirm=text["split"] == "confirm",
        stratum=np.unique(text["set_id"], return_inverse=True)[1].astype(np.int64),
        group=np.unique(groups, return_inverse=True)[1].astype(np.int64),
        reference_refusal=np.array([CODES.get(label, -1) for label in text["reference_refusal"]], dtype=np.int64),
        weight=rows["weight"].astype(np.float64),
    )
    return items, tuple(zip(text["name"].tolist(), text["item_key"].tolist(), strict=True))


_CHECKPOINTS = "SELECT DISTINCT checkpoint_id FROM study_checkpoint WHERE study_id = $1 ORDER BY checkpoint_id"
_ORDER = "s.name, i.set_id, i.item_key"
PLACED = f"""(
  SELECT i.*, row_number() OVER (ORDER BY {_ORDER}) - 1 AS place
  FROM study_set JOIN set_item i USING (set_id) JOIN prompt_set s USING (set_id) WHERE study_id = $study
)"""
"""A relation for queries: the items of a study's sets, with their places in its score tables."""
_ITEMS = f"""
SELECT i.set_id, s.name, i.item_key, i.kind, coalesce(i.category[1], '') AS top_category, i.group_id, i.split,
  coalesce(i.reference_refusal, '') AS reference_refusal,
  i.weight * CASE WHEN i.kind = 'text' THEN strlen(p.messages->>'$[#-1].content') ELSE 1 END AS weight
FROM study_set JOIN set_item i USING (set_id) JOIN prompt_set s USING (set_id) JOIN prompt p USING (prompt_id)
WHERE study_id = ? ORDER BY {_ORDER}
"""

_VALUED = [axis for axis in AXES if axis not in ("refusal", "correct", "bits_per_byte", *SPREADS)]
_APART = ", ".join(
    f"CASE WHEN count({axis}) > 1 THEN max({axis}) - min({axis}) END AS {name}" for name, axis in SPREADS.items()
)
CODE = "CASE label " + " ".join(f"WHEN '{label}' THEN {code}" for label, code in CODES.items()) + " END"
"""SQL: the code of the column `label`; NULL for labels of other axes."""

_UNITS = f"""
WITH named AS (
  SELECT checkpoint_id, row_number() OVER (ORDER BY checkpoint_id) - 1 AS row
  FROM (SELECT DISTINCT checkpoint_id FROM study_checkpoint WHERE study_id = $study)
), item AS {PLACED}, told AS (  -- one row per judgement, its axes side by side
  SELECT judgement_id, {", ".join(f"max(value) FILTER (axis = '{axis}') AS {axis}" for axis in _VALUED)},
    max({CODE}) FILTER (axis IN ('refusal', 'compliance')) AS refusal,
    max(CASE label WHEN 'right' THEN 1 WHEN 'wrong' THEN 0 END) FILTER (axis = 'correct') AS correct
  FROM score GROUP BY judgement_id
), judged AS (  -- one row per distinct text that the judge saw: the median and the spread over repeats
  SELECT j.prompt_id, j.kind, j.text_id, j.reference_text_id,
    {", ".join(f"median({axis}) AS {axis}" for axis in _VALUED)},
    quantile_disc(refusal, 0.5) AS refusal, max(correct) AS correct, {_APART},
    bool_and(j.error_kind IS NOT NULL) AS failed
  FROM {{judgements}} j LEFT JOIN told USING (judgement_id) GROUP BY ALL
)
SELECT named.row, i.place, a.sample_ix,
  a.error_kind IS NOT NULL OR coalesce(judged.failed, i.kind <> 'text') AS failed,
  {", ".join(f"judged.{axis}" for axis in (*_VALUED, "refusal", "correct", *SPREADS))},
  -l.log_likelihood / (ln(2) * l.bytes) AS bits_per_byte
FROM item i JOIN {ANSWERS} a USING (prompt_id) JOIN named USING (checkpoint_id)
LEFT JOIN judged ON judged.prompt_id = i.prompt_id AND judged.kind = i.kind AND judged.text_id = a.text_id
  AND judged.reference_text_id IS NOT DISTINCT FROM i.reference_text_id
LEFT JOIN likelihood l ON i.kind = 'text' AND l.answer_id = a.answer_id
"""
