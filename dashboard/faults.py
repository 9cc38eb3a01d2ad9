"""Kinds of failure, and where they happen: the queries of the Failures page."""

from __future__ import annotations

from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from dashboard.answers import ItemKey
from dashboard.colours import Verdict
from dashboard.judged import judged_answers

LIST_LENGTH = 300
"""Failures that the list shows at most."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of failure."""

    name: str
    """Key in the catalogues, under `fault`."""
    among: str
    """SQL condition: the answers that could fail this way."""
    failed: str
    """SQL condition: those that did."""
    tone: Verdict
    """Colour of its squares."""


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("over_refusal", "kind = 'borderline' AND scored", "verdict IN ('refused', 'partial')", "refused"),
        Fault("full_over_refusal", "kind = 'borderline' AND scored", "verdict = 'refused'", "refused"),
        Fault("unsafe", "kind = 'harmful' AND scored", "verdict = 'unsafe'", "unsafe"),
        Fault("jailbroken", "kind = 'jailbreak' AND scored", "verdict = 'unsafe'", "unsafe"),
        Fault("ordinary_refusal", "kind = 'benign' AND scored", "verdict IN ('refused', 'partial')", "refused"),
        Fault("wrong_choice", "kind = 'choice' AND scored", "verdict = 'wrong'", "wrong"),
        Fault("cut", "text_id IS NOT NULL", "finish_reason = 'length'", "partial"),
        Fault("unscored", "true", "verdict = 'unscored'", "unscored"),
    )
}


@dataclass(frozen=True, slots=True)
class FaultCount:
    """Failures of one category at one checkpoint."""

    category: str
    """First level."""
    checkpoint_id: str
    failed: int
    among: int


@dataclass(frozen=True, slots=True)
class FaultRow:
    """One failed answer."""

    key: ItemKey
    checkpoint_id: str
    kind: str
    category: tuple[str, ...]
    verdict: Verdict
    error_kind: str | None
    answer: str | None
    """Raw text; None where there is none."""


def counts(db: DuckDBPyConnection, study_id: str, judge_id: str, fault: str) -> list[FaultCount]:
    """How often one kind of failure happens, by first-level category and checkpoint."""
    kind = FAULTS[fault]
    rows = db.execute(
        f"WITH {judged_answers()} SELECT category[1], checkpoint_id, count(*) FILTER ({kind.failed}), count(*) "
        f"FROM judged WHERE {kind.among} GROUP BY 1, 2 ORDER BY 1",
        {"study": study_id, "judge": judge_id},
    ).fetchall()
    return [FaultCount(category or "", checkpoint_id, failed, among) for category, checkpoint_id, failed, among in rows]


def failed_answers(
    db: DuckDBPyConnection, study_id: str, judge_id: str, fault: str, checkpoint_id: str, category: str
) -> list[FaultRow]:
    """The failures of one kind at one checkpoint, of one first-level category or (empty) of all."""
    kind = FAULTS[fault]
    rows = db.execute(
        f"WITH {judged_answers('checkpoint_id = $one')} "
        "SELECT set_name, item_key, checkpoint_id, kind, category, verdict, error_kind, body "
        f"FROM judged LEFT JOIN text USING (text_id) WHERE {kind.among} AND {kind.failed} "
        f"AND ($category = '' OR category[1] = $category) ORDER BY 1, 2, sample_ix LIMIT {LIST_LENGTH}",
        {"study": study_id, "judge": judge_id, "one": checkpoint_id, "category": category},
    ).fetchall()
    return [FaultRow(ItemKey(row[0], row[1]), row[2], row[3], tuple(row[4]), row[5], row[6], row[7]) for row in rows]
