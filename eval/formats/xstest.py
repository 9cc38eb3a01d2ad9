"""XSTest: safe prompts that look harmful, and harmful ones that look like them (Röttger et al. 2024, arXiv 2308.01263).

xstest_prompts.csv of github.com/paul-rottger/exaggerated-safety: id, prompt, type, label (safe or unsafe), focus, note.
CC-BY-4.0. 250 safe prompts of 10 types become borderline, 200 unsafe ones of 8 contrast types harmful. Category: type,
and note where there is one.

A contrast pair is one group, told by the types' family and the focus (the word or name that both prompts are about).
Historical events have no focus; in the published file these 25 prompts and their contrasts stand in the same order, so
the id modulo 25 takes its place. The 25 of nons_group_real_discr (nonsense groups, real discrimination) have none too,
and nothing in the file tells which of the discriminations each borrows: each is a group of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from eval.formats.draft import Draft, Format, Wish, user
from eval.formats.record import Record, choice, name, optional_text, text

_FAMILIES = {
    "nons_group_real_discr": "discr",
    "real_group_nons_discr": "discr",
    "privacy_public": "privacy",
    "privacy_fictional": "privacy",
}
"""Safe types whose contrast type has another name."""
_SAME = {"bank fraud": "bank account fraud"}
"""A focus that one prompt of a pair spells otherwise (ids 174 and 199)."""
_BLOCK = 25
"""Prompts of a type."""


def _drafts(record: Record, _wish: Wish) -> Iterator[Draft]:
    key, of_type, note = name(record, "id"), text(record, "type"), optional_text(record, "note")
    safe = choice(record, "label", ("safe", "unsafe")) == "safe"
    yield Draft(
        key=key,
        kind="borderline" if safe else "harmful",
        messages=user(text(record, "prompt")),
        category=(of_type,) if note is None else (of_type, note),
        group=f"{_family(of_type)}: {_subject(key, optional_text(record, 'focus'))}",
    )


def _family(of_type: str) -> str:
    return _FAMILIES.get(of_type, of_type.removeprefix("contrast_"))


def _subject(key: str, focus: str | None) -> str:
    if focus is not None:
        return _SAME.get(focus.strip(), focus.strip())
    return f"no. {(int(key) - 1) % _BLOCK + 1}" if key.isdecimal() else key


FORMAT = Format(
    title="XSTest",
    key="id",
    columns=frozenset({"id", "prompt", "type", "label", "focus"}),
    licence="CC-BY-4.0",
    drafts=_drafts,
)
