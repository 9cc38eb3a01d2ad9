"""Which of two answers a judge prefers: what is compared with what, what is still to be asked, and what came of it.

Items are those that a plain answer serves: benign ones, and borderline ones that neither side refused. A pair is won or
lost where the judge says so in both orders; everything else that it says is a tie, and so are equal texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from eval.backlog import Given, Pair, uncompared
from eval.belonging import ANSWERS, JUDGEMENTS
from eval.judge import PAIRWISE, Judge, judge_id_of
from eval.prompts import Item, Kind, PromptSet
from eval.rows import StudyPairRow
from eval.scores import PAIR, PLACED, Items, ScoreTable, load_scores
from eval.statistics import Floats
from eval.writer import replace_pairs

COMPARED: frozenset[Kind] = frozenset({"benign", "borderline"})
"""Kinds of items whose answers are compared."""
_MERGES = "merges"
_FULL = 2
"""Code of a full refusal."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which of a study's checkpoints are held against which."""

    baseline: str
    """A checkpoint's label."""
    checkpoints: tuple[str, ...]
    """Labels; `merges` stands for all merges."""


def link_pairs(connection: duckdb.DuckDBPyConnection, study_id: str, pairing: Pairing | None) -> None:
    """Note which of the checkpoints that a study is linked to are held against which; None: none are.

    A baseline that has not been asked yet is found by the run that asks it.
    """
    before = connection.execute("SELECT count(*) FROM study_pair WHERE study_id = ?", [study_id]).fetchone()
    if pairing is None and before == (0,):
        return
    found: list[tuple[str, str]] = []
    if pairing is not None:
        asked = {"study": study_id, "baseline": pairing.baseline, "labels": list(pairing.checkpoints)}
        found = connection.execute(_LINKED, asked).fetchall()
    replace_pairs(connection, study_id, [StudyPairRow(study_id, *pair) for pair in found])


def load_pairs(
    connection: duckdb.DuckDBPyConnection, study_id: str, judge_id: str, table: ScoreTable
) -> ScoreTable | None:
    """How the compared checkpoints fared against the baseline, by one judge. table: that judge's scores of the study.

    None where the study compares nothing yet, or the judge never does. Its items are all of kind `pair`; its axes are
    `preference` (1 won, 0.5 tie, 0 lost) and `longer` (characters of the checkpoint's answer minus those of the
    baseline's). `failed`: the pair applies and there is no verdict on it.
    """
    if connection.execute(_COMPARES, [study_id, judge_id]).fetchone() is None:
        return None
    units = _Units.load(connection, study_id, judge_id, table)
    if not units.item.size:
        return None
    rows = {name: row for row, name in enumerate(sorted(set(units.checkpoint)))}
    place = np.array([rows[name] for name in units.checkpoint], dtype=np.int64), units.item, units.sample
    shape = len(rows), table.items.kind.size, table.failed.shape[2]
    preference, longer, failed = np.full(shape, np.nan), np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    preference[place] = np.where(units.applies, units.preference, np.nan)
    longer[place] = units.longer
    failed[place] = units.applies & np.isnan(units.preference)
    kept = np.isin(table.items.kind, sorted(COMPARED))
    axes = {"preference": preference, "longer": longer}
    pairs = ScoreTable(tuple(rows), table.items, failed, axes).where(kept)
    return ScoreTable(pairs.checkpoints, _as_pairs(pairs.items), pairs.failed, pairs.axes)


class OpenPairs:
    """The pairs that a judge has not compared in both orders."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        study_id: str,
        judge: Judge,
        sets: Sequence[PromptSet],
        made: set[str],
    ) -> None:
        """made: ids of the judgements that it need not make again."""
        self._judge_id = judge_id_of(judge)
        self._repeats = judge.repeats
        self._made = made
        self._items: Mapping[str, Item] = {item.prompt_id: item for one in sets for item in one.items}
        self._units = _Units.load(
            connection, study_id, self._judge_id, load_scores(connection, study_id, self._judge_id)
        )

    def of(self, connection: duckdb.DuckDBPyConnection, checkpoint_id: str) -> list[Pair]:
        """Those of one checkpoint."""
        pairs = sorted(set(self._missing(checkpoint_id)))
        texts = sorted({text for _, *both in pairs for text in both})
        query = "SELECT text_id, body FROM text WHERE list_contains(?::VARCHAR[], text_id)"
        body = dict(connection.execute(query, [texts]).fetchall()) if texts else {}
        return [
            Pair(self._items[prompt], *(Given(prompt, text, body[text]) for text in both)) for prompt, *both in pairs
        ]

    def _missing(self, checkpoint_id: str) -> Iterator[tuple[str, str, str]]:
        units = self._units
        asked = units.applies & units.given & (units.text != units.baseline_text)
        for unit in np.flatnonzero(asked & (units.checkpoint == checkpoint_id)):
            prompt, one, other = units.prompt[unit], units.text[unit], units.baseline_text[unit]
            ids = {
                uncompared(Given(prompt, first, ""), Given(prompt, second, ""), self._judge_id, repeat).judgement_id
                for first, second in ((one, other), (other, one))
                for repeat in range(self._repeats)
            }
            if ids - self._made:
                yield prompt, one, other


@dataclass(frozen=True, slots=True)
class _Units:
    """An answer of a compared checkpoint beside the baseline's to the same prompt; each array (U,)."""

    checkpoint: NDArray[np.object_]
    item: NDArray[np.int64]
    """Its place among the study's items."""
    sample: NDArray[np.int64]
    prompt: NDArray[np.object_]
    text: NDArray[np.object_]
    baseline_text: NDArray[np.object_]
    given: NDArray[np.bool_]
    """Whether both sides answered, and of a borderline prompt the judge could say whether they did."""
    preference: Floats
    """1 won, 0.5 tie, 0 lost; NaN: no verdict."""
    longer: Floats
    """Characters more than the baseline's; NaN where a side did not answer."""
    applies: NDArray[np.bool_]
    """False where a side refused a borderline prompt."""

    @classmethod
    def load(cls, connection: duckdb.DuckDBPyConnection, study_id: str, judge_id: str, table: ScoreTable) -> _Units:
        """Those of a study. table: the judge's scores of it."""
        units: dict[str, Any] = dict(
            connection.execute(_PAIRS, {"study": study_id, "judge": judge_id, "kinds": sorted(COMPARED)}).fetchnumpy()
        )
        item, sample = units["place"].astype(np.int64), units["sample_ix"].astype(np.int64)
        row = {name: place for place, name in enumerate(table.checkpoints)}
        classes = [
            table.axes["refusal"][np.array([row[name] for name in units[side]], dtype=np.int64), item, sample]
            for side in ("checkpoint_id", "baseline_id")
        ]
        borderline = table.items.kind[item] == "borderline"
        refused = np.logical_or(*(one >= _FULL for one in classes))
        known = ~borderline | ~np.logical_or(*(np.isnan(one) for one in classes))
        return cls(
            checkpoint=np.ma.filled(units["checkpoint_id"]),
            item=item,
            sample=sample,
            prompt=np.ma.filled(units["prompt_id"]),
            text=np.ma.filled(units["text_id"], ""),
            baseline_text=np.ma.filled(units["baseline_text_id"], ""),
            given=units["given"].astype(bool) & known,
            preference=np.where(known, _numbers(units["preference"]), np.nan),
            longer=_numbers(units["longer"]),
            applies=~(borderline & refused),
        )


def _numbers(column: Any) -> Floats:
    filled: Floats = np.ma.filled(column.astype(np.float64), np.nan)
    return filled


def _as_pairs(items: Items) -> Items:
    parts = {name: getattr(items, name) for name in Items.__slots__}
    return Items(**parts | {"kind": np.full(items.kind.size, PAIR)})


_COMPARES = """
SELECT 1 FROM study_pair, judge
WHERE study_id = ? AND judge_id = ? AND judge.kind = 'llm' AND setting->>'$.kind' <> 'imported' LIMIT 1
"""
_LINKED = f"""
WITH mine AS (
  SELECT DISTINCT checkpoint_id, role, label FROM study_checkpoint JOIN checkpoint USING (checkpoint_id)
  WHERE study_id = $study AND role <> 'imported'
)
SELECT DISTINCT checkpoint_id, (SELECT min(checkpoint_id) FROM mine WHERE label = $baseline) AS baseline_id
FROM mine WHERE (list_contains($labels, label) OR (role = 'merge' AND list_contains($labels, '{_MERGES}')))
  AND checkpoint_id <> baseline_id ORDER BY 1
"""
_PAIRS = f"""
WITH said AS (
  SELECT prompt_id, text_id, other_text_id, repeat,
    CASE label WHEN 'first' THEN 1 WHEN 'second' THEN -1 ELSE 0 END AS lead
  FROM {JUDGEMENTS} j JOIN score USING (judgement_id) WHERE j.kind = '{PAIRWISE}' AND axis = 'preference'
), verdict AS (  -- for the text that came first: won or lost where both orders agree, and the median over repeats
  SELECT one.prompt_id, one.text_id, one.other_text_id,
    median(CASE WHEN one.lead = -other.lead THEN (1 + one.lead) / 2 ELSE 0.5 END) AS preference
  FROM said one JOIN said other ON one.prompt_id = other.prompt_id AND one.text_id = other.other_text_id
    AND one.other_text_id = other.text_id AND one.repeat = other.repeat
  GROUP BY ALL
)
SELECT p.checkpoint_id, p.baseline_id, i.place, a.sample_ix, a.prompt_id, a.text_id,
  b.text_id AS baseline_text_id, a.text_id IS NOT NULL AND b.text_id IS NOT NULL AS given,
  CASE WHEN a.text_id = b.text_id THEN 0.5 ELSE preference END AS preference,
  length(mine.body) - length(theirs.body) AS longer
FROM study_pair p JOIN {ANSWERS} a ON a.checkpoint_id = p.checkpoint_id
JOIN {ANSWERS} b ON b.checkpoint_id = p.baseline_id AND b.prompt_id = a.prompt_id AND b.sample_ix = a.sample_ix
JOIN {PLACED} i ON i.prompt_id = a.prompt_id
LEFT JOIN verdict v ON v.prompt_id = a.prompt_id AND v.text_id = a.text_id AND v.other_text_id = b.text_id
LEFT JOIN text mine ON mine.text_id = a.text_id LEFT JOIN text theirs ON theirs.text_id = b.text_id
WHERE p.study_id = $study AND list_contains($kinds, i.kind)
"""
