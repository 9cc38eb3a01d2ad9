"""The scorer of items of kind choice: right where an answer names the right option and no other. No LLM."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from eval.judge import AxisScore, Judgement, Question
from eval.judges.options import bare, named_labels, named_texts, right_label
from eval.prompts import Kind, PromptSet


class ExactScorer:
    """Scores the axis `correct` (right, wrong). How answers are read: eval.judges.options and docs/metrics.md."""

    @property
    def name(self) -> str:
        """`exact`."""
        return "exact"

    @property
    def kind(self) -> Literal["llm", "proxy", "classifier"]:
        """classifier."""
        return "classifier"

    @property
    def setting(self) -> Mapping[str, object]:
        """The reading's version: another reading is another judge."""
        return {"kind": "exact", "version": 2}

    @property
    def repeats(self) -> int:
        """1: the rules never waver."""
        return 1

    @property
    def kinds(self) -> frozenset[Kind]:
        """choice alone."""
        return frozenset({"choice"})

    @property
    def compares(self) -> bool:
        """No."""
        return False

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        """One after another; an item without a right option is unscored (parse)."""
        for question in questions:
            if question.reference is None or not bare(question.reference):
                yield question, Judgement((), "parse")
            else:
                yield question, Judgement((_correct(question, question.reference),))


def implied_judges(sets: Sequence[PromptSet]) -> tuple[ExactScorer, ...]:
    """The judges that a study has because of what its sets hold, beside those that its recipe names."""
    chooses = any(item.kind == "choice" for one_set in sets for item in one_set.items)
    return (ExactScorer(),) if chooses else ()


def _correct(question: Question, reference: str) -> AxisScore:
    label = right_label(reference)
    if label is None:
        right, named = bare(reference), named_texts(question.answer)
    else:
        right, named = label, named_labels(question.answer, label, question.messages[-1]["content"])
    said = ", ".join(named)[:200]
    match named:
        case []:
            reason = "names no option"
        case [_]:
            reason = f"names {said}"
        case _:
            reason = f"names several options: {said}"
    return AxisScore("correct", label="right" if named == (right,) else "wrong", reason=reason)
