"""hh-rlhf's form (Bai et al. 2022, arXiv 2204.05862): `chosen` and `rejected` are transcripts with a common start.

Turns begin with a blank line and `Human:` or `Assistant:`. A triple has one prompt, so that only conversations of one
turn become triples.
"""

from __future__ import annotations

import re

from eval.formats.record import Record, text
from trainer.data.importers.form import Draft, Form, key_of

_TURN = re.compile(r"\n\n(Human|Assistant): ?")


def _draft(record: Record) -> Draft:
    prompt, chosen = _exchange(record, "chosen")
    other, rejected = _exchange(record, "rejected")
    if prompt != other:
        raise record.wrong("chosen and rejected answer different prompts", cure="leave the row out")
    return Draft(key_of(record), prompt, chosen, rejected)


def _exchange(record: Record, field: str) -> tuple[str, str]:
    """The prompt and the answer of a transcript of one turn."""
    start, *parts = _TURN.split("\n\n" + text(record, field).lstrip())
    roles, said = parts[::2], [part.strip() for part in parts[1::2]]
    if start.strip() or not roles:
        what = f"`{field}` is no transcript of Human: and Assistant:"
        raise record.wrong(what, cure="import it in the form trl, if it has prompts of its own")
    if roles != ["Human", "Assistant"]:
        raise record.wrong("several turns", cure="a triple has one prompt")
    return said[0], said[1]


FORM = Form(title="hh-rlhf's form", draft=_draft)
