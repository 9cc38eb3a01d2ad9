"""What the Judges page asks of the store: what judging took, what failed, calibrations in full."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from eval.agreement import Agreement
from eval.belonging import ANSWERS
from eval.calibrating import told_of
from eval.calibration import AxisReport, StringMatch, Told
from eval.labels import Labels, labels_of
from eval.rows import VerdictRow
from eval.verdict_lines import shareable, shared, verdict_lines


@dataclass(frozen=True, slots=True)
class Totals:
    """What one judge has done for all studies of the store."""

    judgements: int
    failed: int
    prompt_tokens: int | None
    """None where no server counted them."""
    completion_tokens: int | None
    cost: tuple[tuple[str, float], ...]
    """By currency; empty where no price is known."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Answers of one checkpoint that have no verdict for one reason."""

    checkpoint_id: str
    error_kind: str
    count: int


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """One label file against one judge."""

    labels: str
    n: int
    trust: str
    axes: tuple[AxisReport, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A judge beside people."""

    labels: Labels
    told: tuple[Told, ...]
    """The judge's word on each of the labels' rows."""


@dataclass(frozen=True, slots=True)
class LabelLines:
    """A label file's lines."""

    lines: tuple[dict[str, Any], ...]
    kept_back: int
    """Verdicts on texts that are not for sharing."""


def totals(db: DuckDBPyConnection, study_id: str) -> dict[str, Totals]:
    """By judge id, what each of a study's judges has taken."""
    rows = db.execute(
        "SELECT judge_id, count(*), count(error_kind), sum(prompt_tokens), sum(completion_tokens) "
        "FROM judgement WHERE judge_id IN (SELECT judge_id FROM study_judge WHERE study_id = ?) GROUP BY judge_id",
        [study_id],
    ).fetchall()
    costs = db.execute(
        "SELECT judge_id, currency, sum(cost) FROM judgement WHERE cost IS NOT NULL GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return {
        judge: Totals(
            n,
            failed,
            None if asked is None else int(asked),
            None if told is None else int(told),
            tuple((currency or "", cost) for owner, currency, cost in costs if owner == judge),
        )
        for judge, n, failed, asked, told in rows
    }


def failures(db: DuckDBPyConnection, study_id: str, judge_id: str) -> list[Failed]:
    """What failed at each checkpoint: answers that it did not give, and judgements of those that it gave."""
    rows = db.execute(
        f"WITH mine AS (FROM {ANSWERS}), failed AS (SELECT DISTINCT prompt_id, text_id, error_kind AS why "
        "FROM judgement WHERE judge_id = $judge AND error_kind IS NOT NULL) "
        "SELECT checkpoint_id, error_kind, count(*) FROM mine WHERE error_kind IS NOT NULL GROUP BY ALL UNION ALL "
        "SELECT checkpoint_id, why, count(*) FROM mine JOIN failed USING (prompt_id, text_id) "
        "GROUP BY ALL ORDER BY ALL",
        {"study": study_id, "judge": judge_id},
    ).fetchall()
    return [Failed(*row) for row in rows]


def calibration_reports(db: DuckDBPyConnection, judge_id: str) -> list[CalibrationReport]:
    """The newest calibration of a judge by each label file, in full."""
    rows = db.execute(
        "SELECT name, arg_max(n, made_at), arg_max(trust, made_at), arg_max(report, made_at) FROM calibration "
        "WHERE judge_id = ? GROUP BY name ORDER BY name",
        [judge_id],
    ).fetchall()
    return [
        CalibrationReport(name, n, trust, tuple(map(_axis, json.loads(report)["axes"])))
        for name, n, trust, report in rows
    ]


def held(db: DuckDBPyConnection, study_id: str, judge_id: str, rows: Sequence[VerdictRow]) -> Held:
    """People's verdicts, those in force, and a judge's word on each of those answers."""
    labels = labels_of("verdicts", [line for _, line in verdict_lines(db, study_id, rows)])
    repeats = db.execute(
        "SELECT repeats FROM study_judge WHERE study_id = ? AND judge_id = ?", [study_id, judge_id]
    ).fetchone()
    told = told_of(db, labels.rows, judge_id, 1 if repeats is None else int(repeats[0]))
    return Held(labels, tuple(told))


def label_lines(db: DuckDBPyConnection, study_id: str, rows: Sequence[VerdictRow]) -> LabelLines:
    """Verdicts as a label file has them, without those whose texts may not leave this machine."""
    lines, may_leave = verdict_lines(db, study_id, rows), shareable(db, study_id, rows)
    kept = [shared(line) for row, line in lines if (row.prompt_id, row.text_id) in may_leave]
    return LabelLines(tuple(kept), len(lines) - len(kept))


def _axis(values: Mapping[str, Any]) -> AxisReport:
    match = values["string_match"]
    return AxisReport(
        **{
            **values,
            "agreement": Agreement(**values["agreement"]),
            "people": Agreement(**values["people"]),
            "precision": [Agreement(**one) for one in values["precision"]],
            "recall": [Agreement(**one) for one in values["recall"]],
            "any_refusal_f1": None if values["any_refusal_f1"] is None else Agreement(**values["any_refusal_f1"]),
            "string_match": None if match is None else StringMatch(**{k: Agreement(**v) for k, v in match.items()}),
        }
    )
