"""MT-Bench, in English or Japanese: open questions of two turns (Zheng et al. 2023, arXiv 2306.05685).

question.jsonl of FastChat and its Japanese forks: question_id, category, turns, and in some rows reference, a list of
one string for each turn, which may be empty. Apache-2.0. A file of reference answers has question_id and choices, whose
first holds the turns. All are benign; every question is a group.

The turns are user messages in a row: a model answers the first before it is asked the second. The reference is the
transcript of its turns; turns without a reference are left out of it. The file of references goes before the
question's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from eval.formats.draft import Draft, Format, Wish, user
from eval.formats.reading import read_records
from eval.formats.record import Record, name, text, texts
from eval.transcript import numbered, transcript


def read_references(path: Path) -> dict[str, str]:
    """Reference answers by question_id; raises DataError for repeated questions and whatever is not such a file."""
    found: dict[str, str] = {}
    for record in read_records(path):
        key = name(record, "question_id")
        if key in found:
            raise record.wrong("`question_id` repeats an earlier one", value=key, cure="keep one answer to a question")
        answer = _reference(_turns_of_choice(record))
        if answer is not None:
            found[key] = answer
    return found


def _turns_of_choice(record: Record) -> Sequence[str]:
    choices = record.fields.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        cure = "give MT-Bench's file of reference answers"
        raise record.wrong("`choices` is not a list of answers", value=choices, cure=cure)
    return texts(Record(record.path, record.place, choices[0]), "turns", empty=True)


def _reference(turns: Sequence[str]) -> str | None:
    given = [(number, turn) for number, turn in enumerate(turns, 1) if turn.strip()]
    if len(given) == len(turns):
        return transcript(turns)
    return "\n\n".join(numbered(number, turn) for number, turn in given) or None


def _drafts(record: Record, wish: Wish) -> Iterator[Draft]:
    key, turns = name(record, "question_id"), texts(record, "turns")
    own = None if record.fields.get("reference") is None else texts(record, "reference", empty=True)
    yield Draft(
        key=key,
        kind="benign",
        messages=user(*turns),
        category=(text(record, "category"),),
        group=key,
        reference=wish.references.get(key) or (None if own is None else _reference(own)),
    )


FORMAT = Format(
    title="MT-Bench",
    key="question_id",
    columns=frozenset({"question_id", "category", "turns"}),
    licence="Apache-2.0",
    drafts=_drafts,
)
