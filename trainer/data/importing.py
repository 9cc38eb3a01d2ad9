"""Records of a published set to lines of triples; what cannot become one is left out and counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from eval.formats.record import Record
from mergescope.ground.errors import DataError
from trainer.data.importers.form import Draft, Form
from trainer.json_lines import Row
from trainer.triples import triple_of


@dataclass(frozen=True, slots=True)
class Origin:
    """What each triple says of where it comes from."""

    prefix: str
    """What names begin with; empty: nothing."""
    source: str
    licence: str | None
    made_by: str | None


@dataclass(slots=True)
class Imported:
    """What came of a set."""

    lines: list[str] = field(default_factory=list)
    """JSON, one object a line."""
    questions: int = 0
    """How many of them have no answer to avoid yet."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Records by what is wrong with them."""
    first: dict[str, DataError] = field(default_factory=dict)
    """The first record of each."""
    notes: Counter[str] = field(default_factory=Counter)
    """Triples by what of their record they do not hold."""


def imported(records: Iterable[Record], form: Form, origin: Origin, columns: Mapping[str, str]) -> Imported:
    """Read all records. columns: by a column's name in the form, its name in the set.

    Raises the first record's DataError where not one becomes a triple, and DataError where there are no records.
    """
    found = Imported()
    names: set[str] = set()
    for record in records:
        try:
            draft = form.draft(_renamed(record, columns))
            fields = _fields(draft, origin)
            if draft.rejected is not None:
                triple_of(Row(record.where, fields))
            if fields["idx"] in names:
                raise record.wrong("its name stands twice", value=fields["idx"], cure="give each record its own")
        except DataError as error:
            found.left_out[error.what] += 1
            found.first.setdefault(error.what, error)
            continue
        names.add(fields["idx"])
        found.lines.append(json.dumps(fields, ensure_ascii=False, allow_nan=False) + "\n")
        found.questions += draft.rejected is None
        found.notes.update([draft.note] if draft.note is not None else [])
    if not found.lines:
        raise next(iter(found.first.values()), DataError("the set holds no records", cure="check config and split"))
    return found


def _renamed(record: Record, columns: Mapping[str, str]) -> Record:
    if not columns:
        return record
    if lacking := next((name for name in columns.values() if name not in record.fields), None):
        cure = f"it has {', '.join(map(str, record.fields))}"
        raise record.wrong("no such column, which --column names", value=lacking, cure=cure)
    taken = {form: record.fields[own] for form, own in columns.items()}
    return Record(record.path, record.place, {**record.fields, **taken})


def _fields(draft: Draft, origin: Origin) -> dict[str, Any]:
    """The line's object; what nobody says is left out."""
    said = {
        "idx": f"{origin.prefix}-{draft.key}" if origin.prefix else draft.key,
        "kind": draft.kind,
        "prompt": draft.prompt,
        "chosen": draft.chosen,
        "rejected": draft.rejected,
        "meta": dict(draft.meta),
        "source": origin.source,
        "licence": origin.licence,
        "made_by": origin.made_by,
    }
    questions_only = {"kind"} if draft.rejected is not None else set()
    return {name: value for name, value in said.items() if value is not None and name not in questions_only}
