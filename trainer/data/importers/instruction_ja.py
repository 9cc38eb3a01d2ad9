"""instruction_ja (github.com/megagonlabs/instruction_ja, data/data.jsonl, MIT): Japanese dialogues edited by people.

Chosen is the edited answer, rejected the machine translation that it was edited from. Rows whose answer was left as it
was have nothing to prefer.
"""

from __future__ import annotations

from typing import Any

from eval.formats.record import Record, name
from trainer.data.importers.form import Draft, Form


def _draft(record: Record) -> Draft:
    original = record.fields.get("original_info")
    translated = original.get("utterances") if isinstance(original, dict) else None
    rejected = translated.get("machine_translated_ja") if isinstance(translated, dict) else None
    prompt, chosen = _exchange(record, record.fields.get("utterances"))
    _, avoided = _exchange(record, rejected)
    return Draft(name(record, "id"), prompt, chosen, avoided)


def _exchange(record: Record, turns: Any) -> tuple[str, str]:
    """What the user and the agent say in a dialogue of one turn."""
    well_formed = isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns)
    if not well_formed or [turn.get("name") for turn in turns] != ["user", "agent"]:
        raise record.wrong("no dialogue of one user's and one agent's turn", cure="give instruction_ja's data.jsonl")
    said = [turn.get("text") for turn in turns]
    if not all(isinstance(one, str) for one in said):
        raise record.wrong("a turn without `text`", cure="give instruction_ja's data.jsonl")
    return said[0], said[1]


FORM = Form(
    title="instruction_ja",
    draft=_draft,
    prefix="",
    source="megagonlabs/instruction_ja",
    licence="MIT",
    made_by="people (chosen), machine translation (rejected)",
)
