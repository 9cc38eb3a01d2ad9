"""Choices as the store keeps them: append-only, and which of them is in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from duckdb import DuckDBPyConnection

from eval.rows import ChoiceRow

_COLUMNS = ", ".join(field.name for field in fields(ChoiceRow))


def choices(connection: DuckDBPyConnection, study_id: str) -> list[ChoiceRow]:
    """All choices of a study, oldest first, also those that others have taken the place of."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM choice WHERE study_id = ? ORDER BY made_at, choice_id", [study_id]
    ).fetchall()
    return [ChoiceRow(*row) for row in rows]


def choice_in_force(rows: Sequence[ChoiceRow]) -> ChoiceRow | None:
    """The newest choice that no other takes the place of; None where nobody has chosen.

    Two people who choose at once supersede the same one: then the later counts.
    """
    superseded = {row.supersedes for row in rows}
    standing = [row for row in rows if row.choice_id not in superseded]
    return max(standing, key=lambda row: (row.made_at, row.choice_id), default=None)
