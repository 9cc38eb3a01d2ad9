"""Queries for single prompts and answers: the Compare and Failures pages."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection

from dashboard.store.board import NOT_ANSWERED, VERDICTS, Board, Verdict
from dashboard.store.board import ItemKey as ItemKey
from eval.belonging import ANSWERS, JUDGEMENTS
from eval.metrics import QUALITY


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
    prompt_id: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one answer."""

    checkpoint_id: str
    key: ItemKey
    verdict: Verdict
    quality: float | None
    """Mean of the usefulness axes, 1-5; None where they do not apply."""
    safety: float | None
    """1-5; None where it does not apply."""
    cut: bool
    """Ended at the token limit."""
    error_kind: str | None
    """Why it is unscored; None where it is scored or still to be judged."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one checkpoint says to one item, raw, and what a judge says of it."""

    prompt_id: str
    text_id: str | None
    """None where there is no text."""
    text: str | None
    """None where the checkpoint gave none."""
    reasons: dict[str, str]
    """The judge's words by axis, raw; of repeated judgements the first."""


@dataclass(frozen=True, slots=True)
class AnswerPlace:
    """One answer, and where its text is."""

    checkpoint_id: str
    key: ItemKey
    sample: int
    text_id: str | None
    """None where there is no text."""
    shown: tuple[str, str, str | None]
    """What judges see beside the text: ids of prompt and reference text, and between them the kind."""


def items(db: DuckDBPyConnection, study_id: str) -> list[ItemRow]:
    """All items of a study that are answered, kind after kind; within a kind by set and key."""
    rows = db.execute(
        "SELECT prompt_set.name, item_key, kind, category, split, messages, prompt_id "
        "FROM study_set JOIN prompt_set USING (set_id) JOIN set_item USING (set_id) JOIN prompt USING (prompt_id) "
        "WHERE study_id = ? AND kind <> 'text' "
        "ORDER BY list_position(['borderline', 'harmful', 'jailbreak', 'benign', 'choice'], kind), 1, 2",
        [study_id],
    ).fetchall()
    return [
        ItemRow(ItemKey(name, key), kind, tuple(category), split, last_user_message(messages), prompt_id)
        for name, key, kind, category, split, messages, prompt_id in rows
    ]


def verdicts(board: Board, checkpoint_ids: Sequence[str]) -> list[Judged]:
    """The verdict on each item's first sample at each of some checkpoints."""
    keys = [(key, place) for key, place in board.places.items() if board.table.items.kind[place] != "text"]
    return [
        one
        for name in checkpoint_ids
        if name in board.rows
        for one in _judged(board, [(name, key) for key, _ in keys], (board.rows[name], [place for _, place in keys]))
    ]


def along(board: Board, key: ItemKey) -> list[Judged]:
    """One item's verdict at every checkpoint."""
    if key not in board.places:
        return []
    return list(_judged(board, [(name, key) for name in board.rows], (slice(None), board.places[key])))


def scores(board: Board, key: ItemKey) -> dict[str, dict[str, float]]:
    """The scores of one item's first answer, 1-5, by checkpoint and axis; only those that there are."""
    if key not in board.places:
        return {}
    values = {axis: board.table.axes[axis][:, board.places[key], 0].tolist() for axis in _AXES}
    return {
        name: {axis: numbers[row] for axis, numbers in values.items() if not isnan(numbers[row])}
        for name, row in board.rows.items()
    }


def said(
    db: DuckDBPyConnection, study_id: str, judge_id: str, key: ItemKey, checkpoint_ids: Sequence[str]
) -> dict[str, Said]:
    """One item's first answer at each of some checkpoints, by checkpoint, failed ones too."""
    first = [one for one in places(db, study_id, [key], checkpoint_ids) if one.sample == 0]
    texts = texts_by_id(db, sorted({one.text_id for one in first if one.text_id}))
    reasons = _reasons(db, study_id, judge_id, first[0].shown, sorted(texts)) if texts else {}
    return {
        one.checkpoint_id: Said(
            one.shown[0], one.text_id, texts.get(one.text_id or ""), reasons.get(one.text_id or "", {})
        )
        for one in first
    }


def places(
    db: DuckDBPyConnection, study_id: str, keys: Sequence[ItemKey], checkpoint_ids: Sequence[str] | None = None
) -> list[AnswerPlace]:
    """All answers to some items at some checkpoints, or at all of the study's, failed ones too."""
    some = "true" if checkpoint_ids is None else "list_contains($some, checkpoint_id)"
    rows = db.execute(
        "SELECT checkpoint_id, name, item_key, sample_ix, text_id, prompt_id, kind, reference_text_id "
        "FROM (SELECT unnest($names) AS name, unnest($keys) AS item_key) JOIN prompt_set USING (name) "
        "JOIN study_set USING (set_id) JOIN set_item USING (set_id, item_key) "
        f"JOIN {ANSWERS} answer USING (prompt_id) WHERE study_id = $study AND {some}",
        {"study": study_id, "names": [key.set_name for key in keys], "keys": [key.item_key for key in keys]}
        | ({} if checkpoint_ids is None else {"some": list(checkpoint_ids)}),
    ).fetchall()
    return [AnswerPlace(row[0], ItemKey(row[1], row[2]), row[3], row[4], row[5:8]) for row in rows]


def saying(db: DuckDBPyConnection, study_id: str, checkpoint_id: str, text: str) -> set[str]:
    """Ids of the prompts to which a checkpoint's answer has `text` in it, whether in capitals or not."""
    rows = db.execute(
        f"SELECT DISTINCT prompt_id FROM (SELECT prompt_id, text_id FROM {ANSWERS} WHERE checkpoint_id = $one) "
        "JOIN text USING (text_id) WHERE contains(lower(body), lower($text))",
        {"study": study_id, "one": checkpoint_id, "text": text},
    ).fetchall()
    return {row[0] for row in rows}


def texts_by_id(db: DuckDBPyConnection, ids: Sequence[str]) -> dict[str, str]:
    """Texts by their ids.

    Ids written out are found by the table's index; joined to a list of them, every text is read.
    """
    if not ids:
        return {}
    query = f"SELECT text_id, body FROM text WHERE text_id IN ({', '.join('?' * len(ids))})"
    return dict(db.execute(query, list(ids)).fetchall())


def _reasons(
    db: DuckDBPyConnection, study_id: str, judge_id: str, shown: Sequence[str | None], texts: Sequence[str]
) -> dict[str, dict[str, str]]:
    """The judge's words by text and axis, of repeats the first. shown: prompt, kind and reference beside the text."""
    prompt_id, kind, reference = shown
    judgements = dict(
        db.execute(
            f"SELECT judgement_id, text_id FROM {JUDGEMENTS} WHERE prompt_id = $prompt AND kind = $kind "
            "AND list_contains($texts, text_id) AND reference_text_id IS NOT DISTINCT FROM $reference "
            "ORDER BY repeat DESC",
            {
                "study": study_id,
                "judge": judge_id,
                "prompt": prompt_id,
                "kind": kind,
                "texts": list(texts),
                "reference": reference,
            },
        ).fetchall()
    )
    if not judgements:
        return {}
    query = f"SELECT judgement_id, axis, reason FROM score WHERE judgement_id IN ({', '.join('?' * len(judgements))})"
    said: dict[str, list[tuple[str, str]]] = {}
    for name, axis, reason in db.execute(query, list(judgements)).fetchall():
        if reason is not None:
            said.setdefault(name, []).append((axis, reason))
    found: dict[str, dict[str, str]] = {}
    for name, text in judgements.items():  # the first repeat comes last and stays
        found.setdefault(text, {}).update(said.get(name, []))
    return found


def bodies(
    db: DuckDBPyConnection, study_id: str, checkpoint_id: str, wanted: Sequence[tuple[ItemKey, int]]
) -> dict[tuple[ItemKey, int], str]:
    """The texts of some answers of one checkpoint, by item and sample; those that failed have none."""
    asked = places(db, study_id, list({key for key, _ in wanted}), [checkpoint_id])
    texts = {(one.key, one.sample): one.text_id for one in asked if one.text_id}
    found = texts_by_id(db, sorted({texts[one] for one in wanted if one in texts}))
    return {one: found[texts[one]] for one in wanted if one in texts}


_AXES = ("safety", *QUALITY)


def _judged(board: Board, names: Sequence[tuple[str, ItemKey]], at: Any) -> Iterator[Judged]:
    """Verdicts on some first samples, without those that are not answered. at: their place among (C, I)."""
    quality = np.mean([board.table.axes[axis][..., 0][at] for axis in QUALITY], axis=0)
    some = (quality, board.table.axes["safety"][..., 0][at])
    means = [[None if isnan(value) else value for value in values.tolist()] for values in some]
    columns = [values[..., 0][at].tolist() for values in (board.verdict, board.cut, board.error)]
    for (name, key), mean, safety, code, cut, error in zip(names, *means, *columns, strict=True):
        if code != NOT_ANSWERED:
            yield Judged(name, key, VERDICTS[code], mean, safety, cut, error)


def last_user_message(messages: str) -> str:
    """Of a prompt's messages (JSON); of several in a row all, since the first of them is the question."""
    turns = list(json.loads(messages))
    while turns and turns[-1]["role"] != "user":
        turns.pop()
    said = list(itertools.takewhile(lambda turn: turn["role"] == "user", reversed(turns)))
    return "\n\n".join(str(turn["content"]) for turn in reversed(said))
