"""Mergescope's own prompt sets: one object an item, as JSONL, JSON or Parquet.

`key`, `kind` and one of `prompt`, `messages` (a conversation) and `text` (kind text alone) are required; `category`,
`group`, `reference` and `reference_refusal` are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from eval.formats.draft import Draft, Format, Wish, user
from eval.formats.record import Record, choice, one_of, optional_text, text
from eval.identity import Message, storable
from eval.prompts import Kind, Refusal

_FIELDS = {"key", "kind", "prompt", "messages", "text", "category", "group", "reference", "reference_refusal"}
_ROLES = ("system", "user", "assistant")


def _drafts(record: Record, _wish: Wish) -> Iterator[Draft]:
    raw = record.fields
    if unknown := sorted(set(raw) - _FIELDS):
        raise record.wrong(f"unknown field `{unknown[0]}`", cure=f"known fields: {', '.join(sorted(_FIELDS))}")
    key = text(record, "key")
    kind: Kind = choice(record, "kind", get_args(Kind))
    refusal = raw.get("reference_refusal")
    draft = Draft(
        key=key,
        kind=kind,
        messages=_messages(record, kind),
        category=_category(record) or (kind,),
        group=optional_text(record, "group") or key,
        reference=optional_text(record, "reference"),
        reference_refusal=None if refusal is None else choice(record, "reference_refusal", get_args(Refusal)),
    )
    if kind == "choice" and draft.reference is None:
        raise record.wrong("`reference` is missing", cure="a `choice` needs it: the right answer, as it is to be given")
    yield draft


def _category(record: Record) -> tuple[str, ...] | None:
    value = record.fields.get("category")
    if value is None:
        return None
    well_formed = isinstance(value, list) and 1 <= len(value) <= 3 and all(isinstance(v, str) and v for v in value)
    if not well_formed:
        raise record.wrong("`category` is not a list of 1 to 3 names", value=value, cure="widest level first")
    return tuple(storable(v) for v in value)


def _messages(record: Record, kind: Kind) -> tuple[Message, ...]:
    given = [field for field in ("prompt", "messages", "text") if record.fields.get(field) is not None]
    if kind == "text" and given != ["text"]:
        raise record.wrong("kind text needs `text`, and neither `prompt` nor `messages`", cure="keep `text` alone")
    if kind != "text" and given not in (["prompt"], ["messages"]):
        raise record.wrong("needs either `prompt` or `messages`", cure="keep one of the two, and nothing else")
    return _conversation(record) if given == ["messages"] else user(text(record, given[0]))


def _conversation(record: Record) -> tuple[Message, ...]:
    turns = record.fields["messages"]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise record.wrong(
            "`messages` is not a list of turns", value=turns, cure='write [{"role": "user", "content": …}]'
        )
    messages = tuple(_message(record, turn) for turn in turns)
    if messages[-1]["role"] != "user":
        cure = "end with the turn that is to be answered"
        raise record.wrong("the last of `messages` is not the user's", value=messages[-1]["role"], cure=cure)
    return messages


def _message(record: Record, turn: dict[str, Any]) -> Message:
    content = Record(record.path, record.place, turn)
    return {"role": one_of(record, "role", turn.get("role"), _ROLES), "content": text(content, "content")}


FORMAT = Format(
    title="Mergescope's own",
    key="key",
    columns=frozenset({"key", "kind"}),
    licence=None,
    drafts=_drafts,
)
