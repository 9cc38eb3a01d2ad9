"""What the store has of a study already, as an import needs to know it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from eval.rows import Row
from eval.store import open_store

ASKED_AT_ONCE = 5000
"""Ids to a read."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A study in the store; empty where the store does not know it."""

    is_linked: bool = False
    """Whether the store knows the study."""
    samplings: dict[str, str] = field(default_factory=dict)
    """Sampling ids of its checkpoints, by checkpoint id."""
    labels: dict[str, str] = field(default_factory=dict)
    """Ids of its checkpoints, by label."""
    judges: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Position and repeats of its judges, by judge id."""


def standing(store: Path, study_id: str) -> Standing:
    """How a study stands. A store of an older version is brought up on the way; there may be no store yet."""
    if not store.exists():
        return Standing()
    with open_store(store, read_only=False) as db:
        checkpoints = db.execute(_CHECKPOINTS, [study_id]).fetchall()
        judges = db.execute("SELECT judge_id, position, repeats FROM study_judge WHERE study_id = ?", [study_id])
        return Standing(
            judges={name: (position, repeats) for name, position, repeats in judges.fetchall()},
            is_linked=bool(db.execute("SELECT 1 FROM study WHERE study_id = ?", [study_id]).fetchall()),
            samplings={name: sampling for name, sampling, _ in checkpoints},
            labels={label: name for name, _, label in checkpoints},
        )


def answered(store: Path, samplings: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Prompt and text id of every answer of those checkpoints, read checkpoint by checkpoint."""
    found: set[tuple[str, str]] = set()
    for checkpoint, sampling in samplings.items():
        found.update(_ask(store, _TEXTS, checkpoint, sampling))
    return frozenset(found)


def stored(store: Path, names: Collection[str], kinds: Sequence[type[Row]]) -> dict[str, list[Row]]:
    """What the store has of some answers or judgements, by their id; kinds: the first column of each is that id."""
    found: dict[str, list[Row]] = {}
    ids = list(names)
    for start in range(0, len(ids) if store.exists() else 0, ASKED_AT_ONCE):
        for kind in kinds:
            columns = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # every Row is a dataclass
            wanted = f"SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS {columns[0]}) USING ({columns[0]})"
            query = f"SELECT {', '.join(columns)} FROM {kind.TABLE} {wanted}"
            for row in _ask(store, query, ids[start : start + ASKED_AT_ONCE]):
                found.setdefault(row[0], []).append(kind(*row))
    return found


def _ask(store: Path, query: str, *values: object) -> list[Any]:
    with open_store(store, read_only=True) as db:
        return db.execute(query, list(values)).fetchall()


_CHECKPOINTS = """
SELECT checkpoint_id, sampling_id, label FROM study_checkpoint JOIN checkpoint USING (checkpoint_id)
WHERE study_id = ?
"""
_TEXTS = """
SELECT prompt_id, text_id FROM answer WHERE checkpoint_id = ? AND sampling_id = ? AND text_id IS NOT NULL
"""
