"""The judgements that a win rate rests on, as one hash: whoever has the store can tell that they are the same ones."""

from __future__ import annotations

from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from eval.belonging import ANSWERS, JUDGEMENTS
from eval.judge import PAIRWISE
from mergescope.ground.ids import full_hash


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """One judge's judgements of one checkpoint's answers beside those of its baseline."""

    baseline_id: str
    judgements: int
    """How many, both orders and all repeats, failed ones included."""
    sha256: str
    """Over the canonical JSON of the list of their ids, sorted."""


def pair_evidence(
    connection: DuckDBPyConnection, study_id: str, judge_id: str, checkpoint_id: str
) -> PairEvidence | None:
    """What the checkpoint's win rates rest on; None where it is held against nothing, or nothing was judged."""
    values = {"study": study_id, "judge": judge_id, "checkpoint": checkpoint_id}
    rows = connection.execute(_PAIRS, values).fetchall()
    if not rows:
        return None
    return PairEvidence(rows[0][0], len(rows), full_hash([name for _, name in rows]))


_PAIRS = f"""
WITH pairs AS (
  SELECT DISTINCT p.baseline_id, a.prompt_id, a.text_id AS mine, b.text_id AS theirs
  FROM study_pair p JOIN {ANSWERS} a ON a.checkpoint_id = p.checkpoint_id
  JOIN {ANSWERS} b ON b.checkpoint_id = p.baseline_id AND b.prompt_id = a.prompt_id AND b.sample_ix = a.sample_ix
  WHERE p.study_id = $study AND p.checkpoint_id = $checkpoint
)
SELECT DISTINCT baseline_id, judgement_id FROM {JUDGEMENTS} j JOIN pairs ON pairs.prompt_id = j.prompt_id
  AND (j.text_id, j.other_text_id) IN ((mine, theirs), (theirs, mine))
WHERE j.kind = '{PAIRWISE}' ORDER BY judgement_id
"""
