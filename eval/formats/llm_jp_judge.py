"""Prompts as llm-jp-judge reads and writes them (github.com/llm-jp/llm-jp-judge).

Its inputs for quality and safety are arrays of ID, text, output (a reference answer); its generated files are JSONL of
ID, prompt, text, reference, response, where prompt and reference may be lists with one string for each turn. `prompt`
goes before `text`, `reference` before `output`; responses are left out. Its MT-Bench questions are read as `mt-bench`.

The files do not say what kind their prompts are: the recipe's `kind` does. Nor is there a licence of the form's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from eval.formats.draft import Draft, Format, Wish, user
from eval.formats.record import Record, name, optional_text, text_or_texts
from eval.transcript import transcript


def _drafts(record: Record, wish: Wish) -> Iterator[Draft]:
    if wish.kind is None:
        raise record.wrong(
            "llm-jp-judge's files do not say the kind of their prompts", cure="set `kind` beside `format`"
        )
    key, turns = name(record, "ID"), text_or_texts(record, _first(record, "prompt", "text"))
    reference = _first(record, "reference", "output")
    yield Draft(
        key=key,
        kind=wish.kind,
        messages=user(*turns),
        category=(optional_text(record, "category") or wish.kind,),
        group=key,
        reference=None if record.fields.get(reference) is None else transcript(text_or_texts(record, reference)),
    )


def _first(record: Record, wanted: str, otherwise: str) -> str:
    return otherwise if record.fields.get(wanted) is None else wanted


FORMAT = Format(
    title="llm-jp-judge",
    key="ID",
    columns=frozenset({"ID", "text"}),
    licence=None,
    drafts=_drafts,
)
