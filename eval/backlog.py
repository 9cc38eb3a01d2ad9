"""What is still to do: which answers a checkpoint lacks, and which judgements a judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from eval.identity import Message, answer_id, judgement_id
from eval.judge import Question
from eval.prompts import Item, PromptSet
from eval.rows import JudgementRow
from eval.store import open_store

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One answer that each checkpoint of a study shall give."""

    prompt_id: str
    sample_ix: int
    messages: tuple[Message, ...]

    def answer_id(self, checkpoint_id: str, sampling_id: str) -> str:
        """The answer's id at one checkpoint."""
        return answer_id(checkpoint_id, self.prompt_id, sampling_id, self.sample_ix)


@dataclass(frozen=True, slots=True)
class Given:
    """One answer's text."""

    prompt_id: str
    text_id: str
    body: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a judge, and the row of its judgement before it is answered."""

    question: Question
    row: JudgementRow


def wanted_answers(sets: Sequence[PromptSet], samples: int) -> list[Wanted]:
    """Every distinct prompt of the sets `samples` times, short prompts first, so that batches pad little."""
    prompts = {item.prompt_id: item.messages for one_set in sets for item in one_set.items}
    in_order = sorted(prompts, key=lambda prompt: (sum(len(m["content"]) for m in prompts[prompt]), prompt))
    return [Wanted(prompt, sample, prompts[prompt]) for prompt in in_order for sample in range(samples)]


def given_answers(store: Path, checkpoint_id: str, sampling_id: str) -> dict[tuple[str, int], Given | None]:
    """The answers that the store has of a checkpoint, by prompt and sample; None where it could not answer."""
    with open_store(store, read_only=True) as connection:
        rows = connection.execute(
            """SELECT a.prompt_id, a.sample_ix, a.text_id, x.body FROM answer a LEFT JOIN text x USING (text_id)
            WHERE a.checkpoint_id = ? AND a.sampling_id = ?""",
            [checkpoint_id, sampling_id],
        ).fetchall()
    return {(p, s): None if text is None else Given(p, text, body) for p, s, text, body in rows}


def questions(
    sets: Sequence[PromptSet], answers: Mapping[tuple[str, int], Given | None], judge_id: str, repeats: int
) -> dict[str, Asked]:
    """Everything that a judge shall be asked about these answers, by judgement id; equal questions once."""
    by_prompt: dict[str, dict[str, Given]] = {}
    for given in answers.values():
        if given is not None:
            by_prompt.setdefault(given.prompt_id, {})[given.text_id] = given
    asked = (
        _asked(item, given, judge_id, repeat)
        for one_set in sets
        for item in one_set.items
        for given in by_prompt.get(item.prompt_id, {}).values()
        for repeat in range(repeats)
    )
    return {one.row.judgement_id: one for one in asked}


def _asked(item: Item, given: Given, judge_id: str, repeat: int) -> Asked:
    name = judgement_id(judge_id, item.kind, item.prompt_id, given.text_id, item.reference_id, repeat)
    row = JudgementRow(
        judgement_id=name,
        judge_id=judge_id,
        prompt_id=item.prompt_id,
        kind=item.kind,
        text_id=given.text_id,
        reference_text_id=item.reference_id,
        repeat=repeat,
        reported_model=None,
        raw_text_id=None,
        tokens=None,
        cost=None,
        error_kind=None,
    )
    return Asked(Question(name, item.kind, item.messages, given.body, item.reference, repeat), row)


def unjudged(store: Path, ids: Sequence[str]) -> list[str]:
    """Those of the judgement ids that the store lacks, in their order; what was never received is asked again."""
    with open_store(store, read_only=True) as connection:
        rows = connection.execute(
            "SELECT judgement_id FROM judgement SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS judgement_id) "
            "USING (judgement_id) WHERE error_kind IS NULL OR error_kind NOT IN ('timeout', 'server')",
            [list(ids)],
        ).fetchall()
    known = {row[0] for row in rows}
    return [name for name in ids if name not in known]


def chunks(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The values in runs of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]
