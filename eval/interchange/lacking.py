"""What of an answer or a judgement the store lacks, has already, or has otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from eval.interchange.matching import Left, Taken
from eval.interchange.standing import stored
from eval.rows import AnswerRow, JudgementRow, LikelihoodRow, Row, ScoreRow

OTHERWISE = {
    "answer": "the store has another answer there",
    "judgement": "the store has another judgement there, which stays: a second opinion is another `judge` or `rubric`",
}


@dataclass(slots=True)
class Lacking:
    """Records to write, by the id of their answer or judgement, and how many need not be written."""

    rows: dict[str, Sequence[Row]] = field(default_factory=dict)
    there: int = 0
    """As many are in the store just so."""


def lacking_answers(store: Path, taken: Taken, left: Left) -> Lacking:
    """Answers that the store does not have, or has as an error only; what it has otherwise is noted."""
    before = stored(store, taken.rows, (AnswerRow, LikelihoodRow))
    return _lacking(taken, {name: _of_answer(rows, before.get(name, ())) for name, rows in taken.rows.items()}, left)


def lacking_judgements(store: Path, taken: Taken, left: Left) -> Lacking:
    """Judgements, and further axes of judgements, that the store does not have, or has as an error only."""
    before = stored(store, taken.rows, (JudgementRow, ScoreRow))
    return _lacking(taken, {name: _of_judgement(rows, before.get(name, ())) for name, rows in taken.rows.items()}, left)


def _lacking(taken: Taken, found: Mapping[str, Sequence[Row] | None], left: Left) -> Lacking:
    lacking = Lacking()
    for name, rows in found.items():
        if rows is None:
            left.note(OTHERWISE[taken.rows[name][0].TABLE], taken.places[name])
        elif rows:
            lacking.rows[name] = rows
        else:
            lacking.there += 1
    return lacking


def _of_answer(new: Sequence[Row], before: Sequence[Row]) -> Sequence[Row] | None:
    """What to write; None where the store has something else, which stays."""
    if not before or _error(before) is not None:
        return new if not before or _error(new) is None else ()
    told = {row for row in new if isinstance(row, AnswerRow | LikelihoodRow)}
    return () if told == set(before) else None


def _of_judgement(new: Sequence[Row], before: Sequence[Row]) -> Sequence[Row] | None:
    if not before or _error(before) is not None:
        return new if not before or _error(new) is None else ()
    if _error(new) is not None:
        return None
    there = {row.axis: row for row in before if isinstance(row, ScoreRow)}
    told = [row for row in new if isinstance(row, ScoreRow)]
    # a reason that was left out when the score was exported is no other word
    if any(row.axis in there and not _same(row, there[row.axis]) for row in told):
        return None
    return [row for row in told if row.axis not in there]


def _same(new: ScoreRow, before: ScoreRow) -> bool:
    return before in (new, replace(new, reason=before.reason if new.reason is None else new.reason))


def _error(rows: Sequence[Row]) -> str | None:
    return next((row.error_kind for row in rows if isinstance(row, AnswerRow | JudgementRow)), None)
