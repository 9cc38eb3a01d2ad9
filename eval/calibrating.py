"""Puts labelled answers to a judge as a sweep puts answers to it, and keeps what comes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from duckdb import DuckDBPyConnection

from eval.backlog import Asked, Given, asked_of, made_judgements, unanswered
from eval.calibration import Report, Told, report
from eval.identity import text_id
from eval.interchange.forms import LABELS
from eval.judge import Judge, Judgement, judge_id_of
from eval.labels import REFUSAL, Labelled, Labels, code_of, median_rating
from eval.records import judge_row, judgement_rows
from eval.rows import CalibrationRow
from eval.store import open_store
from eval.writer import StoreWriter, Touched, write_calibration
from mergescope.ground.ids import content_id
from mergescope.ground.progress import Task
from mergescope.ground.seeds import derive_seed

VERSION = 1
"""Of what a calibration computes: another version is another calibration."""


@dataclass(slots=True)
class _Words:
    """All repeats of one judge's word on one answer."""

    axes: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


def questions_about(rows: Sequence[Labelled], judge: Judge) -> dict[str, Asked]:
    """Every question to a judge about the labelled answers, by judgement id; an answer with several labels once."""
    name = judge_id_of(judge)
    asked: dict[str, Asked] = {}
    for row in rows:
        if row.item.kind in judge.kinds:
            given = Given(row.item.prompt_id, text_id(row.answer), row.answer)
            for repeat in range(judge.repeats):
                one = asked_of(row.item, given, name, repeat)
                asked[one.row.judgement_id] = one
    return asked


def ask(store: Path, judge: Judge, asked: Mapping[str, Asked], task: Task) -> None:
    """Have a judge make the judgements that the store lacks; whatever was made stays, however this ends.

    Raises MergescopeError for what the user can mend.
    """
    with open_store(store, read_only=False):  # made or brought up before anything is paid for
        pass
    made = made_judgements(store, judge_id_of(judge))
    todo = [one for name, one in asked.items() if name not in made]
    task.found(len(asked) - len(todo))
    writer = StoreWriter(store)
    writer.add([judge_row(judge)])
    with ExitStack() as stack:
        stack.callback(writer.flush, wait=True)
        for question, judgement in judge.score(one.question for one in todo):
            _note(writer, asked[question.judgement_id], judgement)
            if judgement.error_kind is not None:
                task.errors[judgement.error_kind] += 1
            task.advance()


def calibrate(store: Path, judge: Judge, labels: Labels, seed: int) -> tuple[Report, str]:
    """The report of a judge that was asked, and its trust by all label files; both are in the store then.

    seed: the study's, for the draws.
    """
    with open_store(store, read_only=True) as connection:
        told = told_of(connection, labels.rows, judge_id_of(judge), judge.repeats)
    found = report(labels.rows, told, derive_seed(seed, "calibration"), labels.seen_judge)
    language = judge.setting.get("language")
    row = CalibrationRow(
        calibration_id=content_id("k1", [judge_id_of(judge), labels.sha256, labels.name, VERSION]),
        judge_id=judge_id_of(judge),
        labels_sha256=labels.sha256,
        name=labels.name,
        language=None if language is None else str(language),
        n=len(labels.rows),
        trust=found.trust,
        report=json.dumps(asdict(found), ensure_ascii=False, allow_nan=False),
        made_at=datetime.now(UTC).replace(tzinfo=None),
    )
    with open_store(store, read_only=False) as connection:
        return found, write_calibration(connection, row)


def _note(writer: StoreWriter, one: Asked, judgement: Judgement) -> None:
    writer.add(judgement_rows(one.row, judgement), [Touched(judge_id=one.row.judge_id)])
    writer.flush()


def told_of(connection: DuckDBPyConnection, rows: Sequence[Labelled], judge_id: str, repeats: int) -> list[Told]:
    """A judge's word on each labelled answer, as the store has it: the median of its first `repeats` judgements."""
    names = [
        [unanswered(row.item, text_id(row.answer), judge_id, repeat).judgement_id for repeat in range(repeats)]
        for row in rows
    ]
    words = _words(connection, judge_id, sorted({name for some in names for name in some}))
    told = ([words[name] for name in some if name in words] for some in names)
    return [_told(row.axis, said) for row, said in zip(rows, told, strict=True)]


def _words(connection: DuckDBPyConnection, judge_id: str, names: list[str]) -> dict[str, _Words]:
    """What the store has of those judgements."""
    found: dict[str, _Words] = {}
    for name, error, axis, value, label in connection.execute(_SCORES, {"judge": judge_id, "names": names}).fetchall():
        words = found.setdefault(name, _Words())
        if error is not None:
            words.errors.append(error)
        elif axis is not None and axis != "correct":
            rating = code_of(label) if label is not None else float(value)
            words.axes.setdefault(REFUSAL if axis in LABELS else axis, []).append(rating)
    return found


def _told(axis: str, said: Sequence[_Words]) -> Told:
    ratings = [rating for one in said for rating in one.axes.get(axis, [])]
    if ratings:
        return Told(median_rating(ratings) if axis == REFUSAL else float(np.median(ratings)))
    errors = [error for one in said for error in one.errors]
    return Told(error=errors[0] if errors else None)


_SCORES = """
SELECT j.judgement_id, j.error_kind, s.axis, s.value, s.label
FROM judgement j SEMI JOIN (SELECT unnest($names::VARCHAR[]) AS judgement_id) asked USING (judgement_id)
LEFT JOIN score s USING (judgement_id) WHERE j.judge_id = $judge ORDER BY ALL
"""
