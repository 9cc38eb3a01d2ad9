"""What the store knows of a point, as the plain JSON of a bundle's `scores.json`; and the choice, if one is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from eval.metrics import METRICS
from eval.pair_evidence import pair_evidence
from eval.store import open_store, store_revision
from merge.points import MergePoint
from mergescope.effects import recipe_hash
from mergescope.ground.ids import full_hash
from mergescope.study import Study
from mergescope.sweep import study_id

FORMAT = 1
"""Version of `scores.json`."""
NUMBERS = ("value", "low", "high", "n", "n_unscored", "worst", "best", "note")
"""What stands of each estimate; value, low and high are None with a note where there is none."""


def scores_of(study: Study, store: Path, checkpoint: str, point: MergePoint) -> dict[str, Any]:
    """Every metric of the point, of the references and of the ends, by judge and split; empty without a store.

    No text of any prompt or answer, no server's address, and of each judge's setting its hash alone. A classifier is
    not listed: every judge's metrics hold its scores.
    """
    scores: dict[str, Any] = {
        "format": FORMAT,
        "study": study.recipe.study,
        "recipe_sha256": recipe_hash(study.recipe),
        "checkpoint_id": checkpoint,
        "point": {key: value if isinstance(value, bool | int) else str(value) for key, value in asdict(point).items()},
        "metrics": {
            name: {"form": m.form, "lowest": m.low, "highest": m.high, "higher_is_better": m.higher_is_better}
            for name, m in METRICS.items()
        },
        "store_revision": None,
        "prompt_sets": [],
        "sampling": [],
        "judges": [],
    }
    if not store.exists():
        return scores
    with open_store(store, read_only=True) as db:
        return scores | {
            "store_revision": store_revision(db),
            "prompt_sets": _prompt_sets(db, study_id(study)),
            "sampling": _sampling(db, study_id(study)),
            "judges": list(_judges(db, study_id(study), checkpoint, point.mask_seed)),
        }


def stored_choice(study: Study, store: Path, checkpoint: str) -> dict[str, Any]:
    """The newest choice of this checkpoint that none supersedes; empty where the store holds none."""
    if not store.exists():
        return {}
    with open_store(store, read_only=True) as db:
        row = db.execute(_CHOICE, [study_id(study), checkpoint]).fetchone()
    if row is None:
        return {}
    choice_id, rule, who, at, note, revision, evidence = row
    return {
        "rule": _rule_text(rule),
        "by": who or None,
        "when": _utc(at),
        "note": note or None,
        "choice_id": choice_id,
        "store_revision": revision,
        "evidence_sha256": evidence,
    }


def _prompt_sets(db: DuckDBPyConnection, study: str) -> list[dict[str, Any]]:
    names = ("name", "version", "sha256", "licence", "redistributable", "items")
    return [dict(zip(names, row, strict=True)) for row in db.execute(_SETS, [study]).fetchall()]


def _sampling(db: DuckDBPyConnection, study: str) -> list[dict[str, Any]]:
    return [{"sampling_id": name, **json.loads(setting)} for name, setting in db.execute(_SAMPLING, [study]).fetchall()]


def _judges(db: DuckDBPyConnection, study: str, checkpoint: str, mask_seed: int) -> Iterator[dict[str, Any]]:
    compared = _compared(db, study, checkpoint, mask_seed)
    for judge, name, kind, trust, setting in db.execute(_JUDGES, [study]).fetchall():
        values = json.loads(setting)
        found = [entry | _measured(db, study, judge, entry["checkpoint_id"]) for entry in compared]
        rules = values.get("rules")
        yield {
            "judge_id": judge,
            "name": name,
            "kind": kind,
            "label": name if name.startswith(kind) else f"{name} ({kind})",
            "trust": trust,
            "setting_sha256": full_hash(values),
            "rubric_sha256": values.get("rubric") or (full_hash(rules) if rules else None),
            "checkpoints": [entry for entry in found if entry["splits"]],
        }


def _compared(db: DuckDBPyConnection, study: str, checkpoint: str, mask_seed: int) -> list[dict[str, Any]]:
    """The point, then the references, then the ends of its own mask seed."""
    rows = db.execute(_CHECKPOINTS, {"study": study, "point": checkpoint, "seed": mask_seed}).fetchall()
    names = ("role", "checkpoint_id", "label", "ratio")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [entry | {"ratio": None if entry["ratio"] is None else str(entry["ratio"].normalize())} for entry in found]


def _measured(db: DuckDBPyConnection, study: str, judge: str, checkpoint: str) -> dict[str, Any]:
    """A checkpoint's numbers by split; where it was held against another one, which judgements say how it did."""
    pairs = pair_evidence(db, study, judge, checkpoint)
    return {"splits": _splits(db, study, judge, checkpoint)} | ({} if pairs is None else {"pairs": asdict(pairs)})


def _splits(db: DuckDBPyConnection, study: str, judge: str, checkpoint: str) -> dict[str, dict[str, Any]]:
    splits: dict[str, dict[str, Any]] = {}
    for split, metric, *numbers in db.execute(_ESTIMATES, [study, judge, checkpoint]).fetchall():
        splits.setdefault(split, {})[metric] = dict(zip(NUMBERS, numbers, strict=True))
    return splits


def _rule_text(rule: str) -> str | None:
    """A rule as words: the store keeps JSON, which may be a text."""
    try:
        value = json.loads(rule)
    except ValueError:
        return rule or None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _utc(at: datetime) -> str:
    return at.replace(tzinfo=UTC).isoformat(timespec="seconds")


_SETS = """
SELECT name, version, sha256, licence, redistributable, count(*)
FROM study_set JOIN prompt_set USING (set_id) JOIN set_item USING (set_id)
WHERE study_id = ? GROUP BY ALL ORDER BY ALL
"""
_SAMPLING = (
    "SELECT DISTINCT sampling_id, setting FROM study_checkpoint JOIN sampling USING (sampling_id) "
    "WHERE study_id = ? ORDER BY 1"
)
_JUDGES = """
SELECT judge_id, name, kind, trust, setting FROM study_judge JOIN judge USING (judge_id)
WHERE study_id = ? AND kind <> 'classifier' ORDER BY position
"""
_CHECKPOINTS = """
WITH mine AS (SELECT DISTINCT checkpoint_id, kind, label, ratio, mask_seed
              FROM study_checkpoint JOIN checkpoint USING (checkpoint_id) WHERE study_id = $study)
SELECT 'point' AS role, checkpoint_id, label, ratio FROM mine WHERE checkpoint_id = $point
UNION ALL (SELECT kind, checkpoint_id, label, ratio FROM mine WHERE kind <> 'merge' ORDER BY kind, checkpoint_id)
UNION ALL (SELECT 'end', checkpoint_id, label, ratio FROM mine
           WHERE kind = 'merge' AND mask_seed = $seed AND ratio IN (0, 1) ORDER BY ratio, checkpoint_id)
"""
_ESTIMATES = f"""
SELECT split, metric, {", ".join(NUMBERS)} FROM estimate
WHERE study_id = ? AND judge_id = ? AND checkpoint_id = ? AND scope = 'all' ORDER BY split, metric
"""
_CHOICE = """
SELECT choice_id, rule, who, made_at, note, store_revision, evidence_sha256 FROM choice
WHERE study_id = ? AND checkpoint_id = ?
  AND choice_id NOT IN (SELECT supersedes FROM choice WHERE supersedes IS NOT NULL)
ORDER BY made_at DESC, choice_id LIMIT 1
"""
