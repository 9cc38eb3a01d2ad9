"""People's verdicts as label files have them: the form that `judge calibrate --labels` reads (docs/calibration.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from duckdb import DuckDBPyConnection

from eval.interchange.reading import PLACED, UNSAFE
from eval.interchange.sharing import Placed, Sharing
from eval.rows import VerdictRow

JUDGED = ("harmful", "jailbreak", "borderline", "benign")
"""Kinds whose answers people judge."""


def verdict_lines(
    db: DuckDBPyConnection, study_id: str, rows: Sequence[VerdictRow]
) -> list[tuple[VerdictRow, dict[str, Any]]]:
    """Each verdict with its line; those on prompts that the study does not judge, or on texts it has not, are left out.

    rows: those in force. An answer was picked with one probability: where its audits differ, the last one's counts.
    """
    chances = {(row.prompt_id, row.text_id): row.p_selected for row in rows if row.p_selected is not None}
    prompts, texts = sorted({row.prompt_id for row in rows}), sorted({row.text_id for row in rows})
    items: dict[str, list[tuple[Any, ...]]] = {}
    for prompt, *item in db.execute(_ITEMS, {"study": study_id, "prompts": prompts, "judged": list(JUDGED)}).fetchall():
        items.setdefault(prompt, []).append(tuple(item))
    bodies = dict(db.execute(_TEXTS, {"texts": texts}).fetchall())
    return [
        (row, _line(row, bodies[row.text_id], _item_of(row.axis, items[row.prompt_id]), chances))
        for row in rows
        if row.prompt_id in items and row.text_id in bodies
    ]


def shared(line: dict[str, Any]) -> dict[str, Any]:
    """A line for a copy that is shared: reference answers never leave (docs/interchange.md)."""
    return {name: value for name, value in line.items() if name != "reference"}


def shareable(db: DuckDBPyConnection, study_id: str, rows: Sequence[VerdictRow]) -> frozenset[tuple[str, str]]:
    """Prompt and text id of the judged answers whose texts may leave with a shared copy (eval.interchange.sharing).

    Unsafe is also what a person scored so.
    """
    pairs = {(row.prompt_id, row.text_id) for row in rows}
    placed = [Placed(*row) for row in db.execute(PLACED, {"study": study_id}).fetchall()]
    by_people = {
        (row.prompt_id, row.text_id)
        for row in rows
        if row.axis == "safety" and row.value is not None and row.value < UNSAFE
    }
    prompts, texts = [prompt for prompt, _ in pairs], [text for _, text in pairs]
    by_judges = db.execute(_UNSAFE, {"prompts": prompts, "texts": texts, "limit": UNSAFE}).fetchall()
    sharing = Sharing.of(placed, frozenset(by_people) | frozenset(by_judges))
    return frozenset((prompt, text) for prompt, text in pairs if sharing.lets_go(prompt, text))


def _item_of(axis: str, some: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Of a prompt that stands in several kinds the one that has the axis: compliance is of borderline ones alone."""
    return next((item for item in some if (item[0] == "borderline") == (axis == "compliance")), some[0])


def _line(
    row: VerdictRow, answer: str, item: tuple[Any, ...], chances: Mapping[tuple[str, str], float]
) -> dict[str, Any]:
    kind, group, messages, reference = item
    line = {
        "messages": json.loads(messages),
        "answer": answer,
        "kind": kind,
        "axis": row.axis,
        "value": row.value,
        "label": row.label,
        "rater": row.rater,
        "reference": reference,
        "group": group,
        "seen_judge": row.seen_judge,
        "p_selected": chances.get((row.prompt_id, row.text_id)),
    }
    return {name: value for name, value in line.items() if value is not None}


_ITEMS = """
SELECT prompt_id, kind, min(set_id || ' ' || group_id), messages, x.body
FROM study_set JOIN set_item i USING (set_id) JOIN prompt USING (prompt_id)
LEFT JOIN text x ON x.text_id = i.reference_text_id
WHERE study_id = $study AND list_contains($prompts::VARCHAR[], prompt_id) AND list_contains($judged, kind)
GROUP BY prompt_id, kind, messages, x.body ORDER BY ALL
"""
_UNSAFE = """
SELECT DISTINCT prompt_id, text_id FROM judgement JOIN score USING (judgement_id)
SEMI JOIN (SELECT unnest($prompts::VARCHAR[]) AS prompt_id, unnest($texts::VARCHAR[]) AS text_id) pairs
  USING (prompt_id, text_id)
WHERE axis = 'safety' AND value < $limit
"""
_TEXTS = "SELECT text_id, body FROM text SEMI JOIN (SELECT unnest($texts::VARCHAR[]) AS text_id) USING (text_id)"
