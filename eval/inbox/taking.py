"""Takes the inbox's slips into the store: rows first, files deleted after; what is no slip is set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from eval.inbox.slips import ASIDE, ChoiceSlip, Slip, VerdictSlip, Waiting, waiting
from eval.rows import ChoiceRow, VerdictRow
from eval.store import PATIENCE_S, open_store
from eval.writer import Touched, write_rows
from mergescope.ground.errors import StoreError, printable
from mergescope.ground.files import write_atomic

PEOPLE = "people"
"""Stands for a judge in the revisions that a slip raises: no score and no estimate has changed by it."""
BATCH = 500
"""Slips of one transaction, so that none holds the store for long."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the inbox."""

    verdicts: int
    choices: int
    aside: Sequence[str]
    """One line for each file that was set aside: `NAME: what is wrong`."""

    def lines(self) -> Iterator[str]:
        """In words; nothing where there was nothing."""
        some = {"verdict": self.verdicts, "choice": self.choices}
        parts = [f"{count:,} {noun}{'' if count == 1 else 's'}" for noun, count in some.items() if count]
        if parts:
            yield f"taken in: {', '.join(parts)}"
        yield from (f"set aside: {line}" for line in self.aside)


def take_in(store: Path, patience_s: float = PATIENCE_S) -> Taken:
    """Take all slips in, those that come meanwhile too; whatever kills this process, none is lost or counted twice.

    patience_s: how long to wait for a store that is held. Raises StoreError where there is no store, or where it cannot
    be opened; the slips stay then.
    """
    counts: Counter[str] = Counter()
    aside: list[str] = []
    while found := waiting(store, BATCH):
        good = [one.slip for one in found if one.slip is not None]
        strange = _write(store, good, patience_s) if good else {}
        for one in found:
            if one.slip is not None and one.slip.id not in strange:
                one.path.unlink(missing_ok=True)
                counts[one.slip.form] += 1
            elif line := _set_aside(one, strange):
                aside.append(line)
    return Taken(counts["verdict/1"], counts["choice/1"], aside)


def _write(store: Path, slips: Sequence[Slip], patience_s: float) -> dict[str, str]:
    """Write the rows of slips; returns, by id, what is wrong with those about what the store has not."""
    if not store.exists():
        raise StoreError("no results yet", where=store, cure="run `mergescope run STUDY` first")
    with open_store(store, read_only=False, patience_s=patience_s) as db:
        strange = _strange(db, slips)
        known = [slip for slip in slips if slip.id not in strange]
        rows = [verdict_row(slip) if isinstance(slip, VerdictSlip) else choice_row(slip) for slip in known]
        if rows:
            write_rows(db, rows, [Touched(judge_id=PEOPLE)])
    return strange


def verdict_row(slip: VerdictSlip) -> VerdictRow:
    """The row that a verdict becomes."""
    return VerdictRow(slip.id, **_columns(slip))


def choice_row(slip: ChoiceSlip) -> ChoiceRow:
    """The row that a choice becomes."""
    return ChoiceRow(slip.id, **_columns(slip))


def _columns(slip: Slip) -> dict[str, Any]:
    """Times in UTC without offset, as in all of the store."""
    at = slip.made_at.astimezone(UTC).replace(tzinfo=None)
    return {**slip.model_dump(exclude={"form"}), "made_at": at}


def _strange(db: DuckDBPyConnection, slips: Sequence[Slip]) -> dict[str, str]:
    wanted: dict[str, tuple[tuple[str, str, str], ...]] = {}
    for slip in slips:
        if isinstance(slip, ChoiceSlip):
            named = ("study", "study_id", slip.study_id), ("checkpoint", "checkpoint_id", slip.checkpoint_id)
        else:
            named = ("text", "text_id", slip.text_id), ("prompt", "prompt_id", slip.prompt_id)
        wanted[slip.id] = named
    known: set[tuple[str, str]] = set()
    for table, column in {(table, column) for named in wanted.values() for table, column, _ in named}:
        values = [value for named in wanted.values() for place, _, value in named if place == table]
        rows = db.execute(f"SELECT {column} FROM {table} WHERE {column} IN (SELECT unnest(?::VARCHAR[]))", [values])
        known |= {(table, row[0]) for row in rows.fetchall()}
    return {
        name: f"the store has no {table} {value}"
        for name, named in wanted.items()
        for table, _, value in named
        if (table, value) not in known
    }


def _set_aside(one: Waiting, strange: dict[str, str]) -> str:
    """Move a file away and say why beside it; the line is empty where another taker was faster."""
    wrong = one.wrong or strange[one.slip.id if one.slip is not None else ""]
    folder = one.path.parent / ASIDE
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    place = folder / one.path.name
    number = 1
    while place.exists() or place.is_symlink():
        number += 1
        place = folder / f"{one.path.name}.{number}"
    line = f"{printable(one.path.name)}: {wrong}; it lies in {ASIDE}"
    why = folder / f"{place.name}.why"
    write_atomic(why, f"{line}\n", private=True)  # first: a file without a reason would be a riddle
    try:
        one.path.rename(place)
    except FileNotFoundError:
        why.unlink(missing_ok=True)
        return ""
    return line
