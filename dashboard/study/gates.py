"""The gates before an export, from the store and the recipe's own data files: what the command line will say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from dashboard.store.queries import checkpoints, estimates, judges
from merge.gates import Comparison, compare_with_base
from mergescope.ground.errors import DataError
from trainer.provenance import counted


def comparisons(db: DuckDBPyConnection, study_id: str, checkpoint_id: str) -> list[Comparison]:
    """Every judge's word on a merge point and on the base, on all prompts."""
    base = next((c.checkpoint_id for c in checkpoints(db, study_id) if c.kind == "base"), None)
    found: list[Comparison] = []
    for judge in judges(db, study_id):
        values: dict[str, dict[str, dict[str, Any]]] = {}
        for row in estimates(db, study_id, judge.judge_id, "all", "all"):
            values.setdefault(row.checkpoint_id, {})[row.metric] = {"low": row.low, "worst": row.worst}
        if checkpoint_id in values:
            ancestor = values.get(base or "", {})
            found.append(compare_with_base(judge.name, judge.kind, values[checkpoint_id], ancestor))
    return found


def makers(recipe: Mapping[str, Any], folder: Path | None) -> Iterator[str]:
    """Who or what wrote the training data: as the recipe says, and as its triples say where `folder` holds them.

    recipe: the study's, as the store keeps it. folder: the recipe file's; None where this machine has none.
    """
    for origin in recipe.get("models", {}).get("origin", {}).values():
        yield from origin.get("made_by", [])
    train = recipe.get("train")
    if folder is None or not isinstance(train, dict):
        return
    files = [folder / path for role in ("safe", "useful") for path in train.get(role, {}).get("triples", [])]
    try:
        yield from (
            row.made_by
            for row in counted(dict.fromkeys(files), unreviewed=bool(train.get("unreviewed")))
            if row.made_by
        )
    except DataError:
        return  # the export itself says what is wrong with the file
