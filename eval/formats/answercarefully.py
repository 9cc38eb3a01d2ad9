"""AnswerCarefully: Japanese prompts that need care, with reference answers (Suzuki et al. 2025, arXiv 2506.02372).

llm-jp/AnswerCarefully on the Hub, gated and not to be passed on: a user's own copy, as JSON, JSONL, CSV or Parquet.
ID, text, output, and risk-area, harm-type, specific-harm, either as columns or inside `meta`. Its terms of use allow
work on safety alone; they have no SPDX name.

The main set is harmful, the borderline set borderline. The reference is `output`; nobody labelled whether it refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

from eval.formats.draft import Draft, Format, Wish, user
from eval.formats.record import Record, name, optional_text, text

_LEVELS = ("risk-area", "harm-type", "specific-harm")


def _drafts(record: Record, _wish: Wish, kind: Literal["harmful", "borderline"]) -> Iterator[Draft]:
    key = name(record, "ID")
    yield Draft(
        key=key,
        kind=kind,
        messages=user(text(record, "text")),
        category=_category(record) or (kind,),
        group=key,
        reference=text(record, "output"),
    )


def _category(record: Record) -> tuple[str, ...]:
    """The levels that are there, up to the first that is not."""
    meta = record.fields.get("meta")
    levels = Record(record.path, record.place, meta) if isinstance(meta, dict) else record
    names = [optional_text(levels, level) for level in _LEVELS]
    return tuple(level for level in names[: names.index(None) if None in names else None] if level is not None)


FORMAT = Format(
    title="AnswerCarefully",
    key="ID",
    columns=frozenset({"ID", "text", "output"}),
    licence="LicenseRef-AnswerCarefully",
    drafts=partial(_drafts, kind="harmful"),
)
BORDERLINE = Format(
    title="AnswerCarefully's borderline set",
    key="ID",
    columns=FORMAT.columns,
    licence=FORMAT.licence,
    drafts=partial(_drafts, kind="borderline"),
)
