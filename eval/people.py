"""People's verdicts as the store keeps them: append-only, and which of them count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields

from duckdb import DuckDBPyConnection

from eval.rows import VerdictRow

_COLUMNS = ", ".join(field.name for field in fields(VerdictRow))


def verdicts(connection: DuckDBPyConnection, study_id: str) -> list[VerdictRow]:
    """All verdicts on answers to a study's prompts, oldest first, also those that others have taken the place of."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM verdict SEMI JOIN (FROM study_set JOIN set_item USING (set_id) WHERE study_id = ?) "
        "USING (prompt_id) ORDER BY made_at, verdict_id",
        [study_id],
    ).fetchall()
    return [VerdictRow(*row) for row in rows]


def in_force(rows: Iterable[VerdictRow]) -> list[VerdictRow]:
    """The verdicts that count: of one rater on one answer and axis the last word, unless it takes back what it said.

    A word after seeing a judge's does not take the place of one before: the first is a rater's own, the other may not
    be. So a rater may have one of each.
    """
    last: dict[tuple[object, ...], VerdictRow] = {}
    for row in sorted(rows, key=lambda row: (row.made_at, row.verdict_id)):
        last[row.text_id, row.prompt_id, row.axis, row.rater, row.seen_judge] = row
    return [row for row in last.values() if row.value is not None or row.label is not None]
