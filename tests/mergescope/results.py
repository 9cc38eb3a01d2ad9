"""What a results file and a study folder hold, apart from time and host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eval.store import open_store
from mergescope.ground.files import read_json

TABLES = (
    "prompt_set",
    "prompt",
    "text",
    "set_item",
    "checkpoint",
    "sampling",
    "answer",
    "answer_turn",
    "judge",
    "judgement",
    "score",
    "study",
    "study_checkpoint",
    "study_set",
    "study_judge",
    "likelihood",
    "swap",
    "estimate",
)
"""All that a run writes; `revision` counts commits, which a kill may change."""


def rows(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, sorted."""
    with open_store(store, read_only=True) as connection:
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall() for table in TABLES}


def count(store: Path, table: str) -> int:
    """How many rows a table has."""
    return len(rows(store)[table])


def stage_hashes(folder: Path) -> dict[str, str]:
    """The hash and the weights of every finished stage, by its folder in the study's."""
    found = {}
    for path in sorted(folder.glob("**/manifest.json")):
        manifest = read_json(path)
        found[str(path.parent.relative_to(folder))] = f"{manifest['stage_hash']} {manifest.get('weights_sha256')}"
    return found
