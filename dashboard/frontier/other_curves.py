"""Studies of the store whose curve may be laid over another one's: plain linear merges, density 1, or any other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class OtherCurve:
    """Another study with judged merges."""

    study_id: str
    study_name: str
    judge_id: str
    """The judge in question where it has judged that study too; else that study's first one."""
    kind: Literal["linear", "density_1", "other"]
    """linear: all its merges are plain weighted means; density_1: DARE-TIES that drops nothing."""
    comparable: bool
    """Whether the same judge scored the same prompt sets."""


def other_curves(db: DuckDBPyConnection, study_id: str, judge_id: str) -> list[OtherCurve]:
    """The store's other studies with estimates of merges, by name; of equal names one."""
    return [OtherCurve(*row) for row in db.execute(_OTHERS, {"study": study_id, "judge": judge_id}).fetchall()]


_OTHERS = """
WITH merges AS (
  SELECT study_id, bool_and(method IN ('linear', 'task_arithmetic')) AS linear,
    bool_and(coalesce(density_safe, 1) = 1 AND coalesce(density_useful, 1) = 1) AS whole
  FROM study_checkpoint JOIN checkpoint USING (checkpoint_id) WHERE kind = 'merge' GROUP BY study_id
),
sets AS (SELECT study_id, list(set_id ORDER BY set_id) AS sets FROM study_set GROUP BY study_id),
judged AS (
  SELECT study_id, judge_id FROM study_judge JOIN judge USING (judge_id) WHERE kind <> 'classifier'
  QUALIFY row_number() OVER (PARTITION BY study_id ORDER BY judge_id <> $judge, position) = 1
)
SELECT study_id, name, judge_id, CASE WHEN linear THEN 'linear' WHEN whole THEN 'density_1' ELSE 'other' END,
  judge_id = $judge AND sets = (SELECT sets FROM sets WHERE study_id = $study)
FROM study JOIN merges USING (study_id) JOIN sets USING (study_id) JOIN judged USING (study_id)
WHERE study_id <> $study AND study_id IN (SELECT study_id FROM estimate WHERE value IS NOT NULL)
QUALIFY row_number() OVER (PARTITION BY name ORDER BY study_id) = 1 ORDER BY name
"""
