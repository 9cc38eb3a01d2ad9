"""Queries for single prompts and answers: the Compare and Failures pages."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from dashboard.colours import Verdict
from dashboard.judged import judged_answers
from eval.belonging import JUDGEMENTS


@dataclass(frozen=True, slots=True)
class ItemKey:
    """Which item of which set."""

    set_name: str
    item_key: str

    @property
    def address(self) -> str:
        """As query parameters carry it: `set/key`."""
        return f"{self.set_name}/{self.item_key}"


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item of a study's prompt sets."""

    key: ItemKey
    kind: str
    """harmful, jailbreak, borderline, benign or choice."""
    category: tuple[str, ...]
    split: str
    prompt: str
    """The last user message, raw; of several in a row all, since the first of them is the question."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one answer."""

    checkpoint_id: str
    key: ItemKey
    verdict: Verdict
    quality: float | None
    """Mean of the usefulness axes, 1-5; None where they do not apply."""
    cut: bool
    """Ended at the token limit."""
    error_kind: str | None
    """Why it is unscored; None where it is scored or still to be judged."""


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One answer in full, raw text."""

    judged: Judged
    text: str | None
    """None where the checkpoint gave none."""
    scores: dict[str, float]
    """Scores by axis, 1-5."""
    reasons: dict[str, str]
    """The judge's words by axis, raw; of repeated judgements the first."""


def items(db: DuckDBPyConnection, study_id: str) -> list[ItemRow]:
    """All items of a study that are answered, kind after kind; within a kind by set and key."""
    rows = db.execute(
        "SELECT prompt_set.name, item_key, kind, category, split, messages "
        "FROM study_set JOIN prompt_set USING (set_id) JOIN set_item USING (set_id) JOIN prompt USING (prompt_id) "
        "WHERE study_id = ? AND kind <> 'text' "
        "ORDER BY list_position(['borderline', 'harmful', 'jailbreak', 'benign', 'choice'], kind), 1, 2",
        [study_id],
    ).fetchall()
    return [
        ItemRow(ItemKey(name, key), kind, tuple(category), split, _last_user_message(messages))
        for name, key, kind, category, split, messages in rows
    ]


def verdicts(db: DuckDBPyConnection, study_id: str, judge_id: str, checkpoint_ids: Sequence[str]) -> list[Judged]:
    """The verdict on each item's first sample at each of some checkpoints."""
    return _judged(db, study_id, judge_id, "list_contains($some, checkpoint_id)", {"some": list(checkpoint_ids)})


def along(db: DuckDBPyConnection, study_id: str, judge_id: str, key: ItemKey) -> list[Judged]:
    """One item's verdict at every checkpoint."""
    return _judged(
        db, study_id, judge_id, "set_name = $name AND item_key = $key", {"name": key.set_name, "key": key.item_key}
    )


def answers(
    db: DuckDBPyConnection, study_id: str, judge_id: str, key: ItemKey, checkpoint_ids: Sequence[str]
) -> list[AnswerRow]:
    """One item's first answer at each of some checkpoints, with scores and reasons."""
    rows = db.execute(
        f"WITH {judged_answers('set_name = $name AND item_key = $key AND list_contains($some, checkpoint_id)')} "
        f"SELECT {_COLUMNS}, body, safety, fluency, accuracy, detail, relevance, "
        "(SELECT list([axis, reason] ORDER BY repeat DESC) "
        f"FROM {JUDGEMENTS} judgement JOIN score USING (judgement_id) WHERE reason IS NOT NULL "
        "AND judgement.prompt_id = judged.prompt_id AND judgement.kind = judged.kind "
        "AND judgement.text_id = judged.text_id "
        "AND judgement.reference_text_id IS NOT DISTINCT FROM judged.reference_text_id) "
        "FROM judged LEFT JOIN text USING (text_id) WHERE sample_ix = 0",
        {
            "study": study_id,
            "judge": judge_id,
            "name": key.set_name,
            "key": key.item_key,
            "some": list(checkpoint_ids),
        },
    ).fetchall()
    return [
        AnswerRow(
            _record(row),
            row[7],
            {axis: value for axis, value in zip(_AXES, row[8:13], strict=True) if value is not None},
            dict(row[13] or []),
        )
        for row in rows
    ]


_AXES = ("safety", "fluency", "accuracy", "detail", "relevance")
_COLUMNS = "checkpoint_id, set_name, item_key, verdict, quality, finish_reason = 'length', error_kind"


def _judged(
    db: DuckDBPyConnection, study_id: str, judge_id: str, where: str, values: dict[str, object]
) -> list[Judged]:
    rows = db.execute(
        f"WITH {judged_answers(where)} SELECT {_COLUMNS} FROM judged WHERE sample_ix = 0",
        {"study": study_id, "judge": judge_id, **values},
    ).fetchall()
    return [_record(row) for row in rows]


def _record(row: tuple[Any, ...]) -> Judged:
    checkpoint_id, set_name, item_key, verdict, quality, cut, error_kind = row[:7]
    return Judged(checkpoint_id, ItemKey(set_name, item_key), verdict, quality, bool(cut), error_kind)


def _last_user_message(messages: str) -> str:
    turns = list(json.loads(messages))
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    said = list(itertools.takewhile(lambda turn: turn["role"] == "user", reversed(turns)))
    return "\n\n".join(str(turn["content"]) for turn in reversed(said))
