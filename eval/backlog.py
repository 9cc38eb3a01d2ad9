"""What is still to do: which answers a checkpoint lacks, and which judgements a judge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval import judge
from eval.engine import PASSING, AnswerError
from eval.identity import Message, answer_id, comparison_id, judgement_id
from eval.judge import PAIRWISE, Judge, Question
from eval.prompts import Item, PromptSet
from eval.rows import JudgementRow
from eval.store import open_store


@dataclass(frozen=True, slots=True)
class Wanted:
    """One answer that each checkpoint of a study shall give."""

    prompt_id: str
    sample_ix: int
    messages: tuple[Message, ...]
    measured: bool = False
    """Whether the text is not answered but its likelihood measured."""

    @property
    def key(self) -> tuple[str, int]:
        """Prompt and sample: what tells it apart from the others of its checkpoint."""
        return self.prompt_id, self.sample_ix

    def answer_id(self, checkpoint_id: str, sampling_id: str) -> str:
        """The answer's id at one checkpoint."""
        return answer_id(checkpoint_id, self.prompt_id, sampling_id, self.sample_ix)


@dataclass(frozen=True, slots=True)
class Given:
    """One answer as judges see it."""

    prompt_id: str
    text_id: str
    body: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A question to a judge, and the row of its judgement before it is answered."""

    question: Question
    row: JudgementRow


@dataclass(frozen=True, slots=True)
class Pair:
    """Two different answers to one prompt; which of them a judge is shown first is not said."""

    item: Item
    """An item that has the prompt."""
    one: Given
    other: Given


def wanted_answers(sets: Sequence[PromptSet], samples: int, *, measured: bool = True) -> list[Wanted]:
    """Every distinct prompt of the sets `samples` times, texts once; short ones first, so that batches pad little.

    measured: whether texts are among them.
    """
    prompts = {item.prompt_id: item for one_set in sets for item in one_set.items}
    in_order = sorted(
        prompts.values(), key=lambda item: (sum(len(m["content"]) for m in item.messages), item.prompt_id)
    )
    return [
        Wanted(item.prompt_id, sample, item.messages, item.kind == "text")
        for item in in_order
        if measured or item.kind != "text"
        for sample in range(1 if item.kind == "text" else samples)
    ]


def given_answers(
    store: Path, checkpoint_id: str, sampling_id: str, passing: frozenset[AnswerError] = PASSING
) -> dict[tuple[str, int], Given | None]:
    """What the store has of a checkpoint, by prompt and sample; None where there is nothing to judge.

    Answers that failed in `passing` are left out: they are asked again.
    """
    with open_store(store, read_only=True) as connection:
        rows = connection.execute(
            """SELECT a.prompt_id, a.sample_ix, a.text_id, x.body FROM answer a LEFT JOIN text x USING (text_id)
            WHERE a.checkpoint_id = ? AND a.sampling_id = ? AND NOT coalesce(list_contains(?, a.error_kind), false)""",
            [checkpoint_id, sampling_id, sorted(passing)],
        ).fetchall()
    return {(p, s): None if text is None else Given(p, text, body) for p, s, text, body in rows}


def made_judgements(store: Path, judge_id: str) -> set[str]:
    """Ids of a judge's judgements; those that failed in passing are left out: they are asked again."""
    with open_store(store, read_only=True) as connection:
        found = connection.execute(
            """SELECT judgement_id FROM judgement
            WHERE judge_id = ? AND NOT coalesce(list_contains(?, error_kind), false)""",
            [judge_id, sorted(judge.PASSING)],
        ).fetchnumpy()
    return set(found["judgement_id"])


class Questions:
    """What judges are asked about an answer, by the items of a study's sets that have its prompt."""

    def __init__(self, sets: Sequence[PromptSet]) -> None:
        self._items: dict[str, list[Item]] = {}
        for one_set in sets:
            for item in one_set.items:
                self._items.setdefault(item.prompt_id, []).append(item)

    def about(self, given: Given, judge: Judge, judge_id: str, least_repeats: int = 1) -> Iterator[Asked]:
        """Every question to one judge; equal ones come under equal ids. least_repeats: of judgements by an LLM."""
        repeats = max(judge.repeats, least_repeats) if judge.kind == "llm" else judge.repeats
        for item in self._items.get(given.prompt_id, []):
            if item.kind in judge.kinds:
                for repeat in range(repeats):
                    yield asked_of(item, given, judge_id, repeat)


def asked_of(item: Item, given: Given, judge_id: str, repeat: int) -> Asked:
    """What one judge is asked about an answer to an item."""
    row = unanswered(item, given.text_id, judge_id, repeat)
    return Asked(Question(row.judgement_id, item.kind, item.messages, given.body, item.reference, repeat), row)


def unanswered(item: Item, answer: str, judge_id: str, repeat: int) -> JudgementRow:
    """The row of one judge's judgement of an item's answer, before anything came of it. answer: the text's id."""
    return JudgementRow(
        judgement_id=judgement_id(judge_id, item.kind, item.prompt_id, answer, item.reference_id, repeat),
        judge_id=judge_id,
        prompt_id=item.prompt_id,
        kind=item.kind,
        text_id=answer,
        reference_text_id=item.reference_id,
        repeat=repeat,
    )


def comparisons(pair: Pair, judge_id: str, repeats: int) -> Iterator[Asked]:
    """Every question to one judge about which of two answers is better: in both orders."""
    for first, second in ((pair.one, pair.other), (pair.other, pair.one)):
        for repeat in range(repeats):
            row = uncompared(first, second, judge_id, repeat)
            item = pair.item
            yield Asked(
                Question(row.judgement_id, item.kind, item.messages, first.body, None, repeat, second.body), row
            )


def uncompared(first: Given, second: Given, judge_id: str, repeat: int) -> JudgementRow:
    """The row of one judge's comparison of two answers, before anything came of it."""
    return JudgementRow(
        judgement_id=comparison_id(judge_id, first.prompt_id, first.text_id, second.text_id, repeat),
        judge_id=judge_id,
        prompt_id=first.prompt_id,
        kind=PAIRWISE,
        text_id=first.text_id,
        reference_text_id=None,
        repeat=repeat,
        other_text_id=second.text_id,
    )
