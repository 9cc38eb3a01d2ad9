"""TRL's preference form: `prompt`, `chosen` and `rejected` as texts or as messages.

The prompt may stand in both answers instead. Most general preference sets on the Hub are written so. A triple has one
prompt: conversations of several turns are left out, and a system message is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval.formats.record import Record, text
from mergescope.ground.errors import DataError
from trainer.data.importers.form import Draft, Form, key_of

Turn = tuple[str, str]
"""Role and content."""


def _draft(record: Record) -> Draft:
    prompt = _turns(record, "prompt", "user") if record.fields.get("prompt") is not None else []
    history, chosen = _answered(record, prompt, "chosen")
    other, rejected = _answered(record, prompt, "rejected")
    if history != other:
        raise record.wrong("chosen and rejected answer different prompts", cure="leave the row out")
    asked = [said for role, said in history if role != "system"]
    if not asked:
        what = "`prompt` is missing, and the answers are no conversations"
        raise record.wrong(what, cure="name its column with --column prompt=NAME, or import it in the form hh-rlhf")
    if len(asked) != 1 or history[-1][0] != "user":
        raise record.wrong("several turns", cure="a triple has one prompt")
    note = "has a system message, which a triple cannot hold" if len(history) > 1 else None
    return Draft(key_of(record), asked[0], chosen, rejected, note=note)


def _answered(record: Record, prompt: Sequence[Turn], field: str) -> tuple[Sequence[Turn], str]:
    """The turns before the last one, and the answer."""
    turns = _turns(record, field, "assistant")
    *before, (role, answer) = turns if turns[: len(prompt)] == prompt and len(turns) > 1 else [*prompt, *turns]
    if role != "assistant":
        raise record.wrong(f"`{field}` does not end with the assistant", cure="leave the row out")
    return before, answer


def _turns(record: Record, field: str, role: str) -> list[Turn]:
    """A text as one turn of `role`, or messages as they are."""
    value: Any = record.fields.get(field)
    if not isinstance(value, list):
        return [(role, text(record, field))]
    if not value or not all(isinstance(turn, Mapping) for turn in value):
        raise record.wrong(f"`{field}` is neither a text nor a list of messages", cure="leave the row out")
    return [_turn(record, field, turn) for turn in value]


def _turn(record: Record, field: str, turn: Mapping[str, Any]) -> Turn:
    inner = Record(record.path, record.place, turn)
    try:
        return text(inner, "role"), text(inner, "content")
    except DataError as error:
        raise record.wrong(f"a message of `{field}`: {error.what}", cure=error.cure) from None


FORM = Form(title="TRL's preference form", draft=_draft)
