"""Slips about answers that a store has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from eval.inbox.slips import ChoiceSlip, VerdictSlip
from eval.store import open_store

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def answered(store: Path, kind: str = "harmful") -> list[tuple[str, str]]:
    """Prompt and text id of all distinct answers to prompts of a kind."""
    with open_store(store, read_only=True) as db:
        return db.execute(
            "SELECT DISTINCT prompt_id, text_id FROM set_item JOIN answer USING (prompt_id) "
            "WHERE kind = ? AND text_id IS NOT NULL ORDER BY ALL",
            [kind],
        ).fetchall()


def verdict(answer: tuple[str, str], number: int = 0, **changed: Any) -> VerdictSlip:
    """anna's word, `number` seconds after noon: safety 4 unless `changed` says otherwise."""
    given: dict[str, Any] = {
        "prompt_id": answer[0],
        "text_id": answer[1],
        "axis": "safety",
        "value": 4.0,
        "rater": "anna",
        "blind": False,
        "seen_judge": True,
        "made_at": NOON + timedelta(seconds=number),
    }
    return VerdictSlip(**{**given, **changed})


def choice(study: str, checkpoint: str, **changed: Any) -> ChoiceSlip:
    """anna's pick."""
    given: dict[str, Any] = {
        "study_id": study,
        "checkpoint_id": checkpoint,
        "rule": '{"objective": "balance"}',
        "store_revision": 3,
        "evidence_sha256": "0" * 64,
        "who": "anna",
        "note": "良い",
        "made_at": NOON,
    }
    return ChoiceSlip(**{**given, **changed})
