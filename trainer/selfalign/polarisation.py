"""Which pairs are polarised: their two answers lie far enough apart, by a judge or by the model's own likelihoods."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from eval.chat.budget import Budget
from eval.engine import Engine
from eval.identity import Message, judgement_id, prompt_id, text_id
from eval.judge import Judge, Question, judge_id_of


@dataclass(frozen=True, slots=True)
class Draft:
    """Two answers to one instruction, before anyone has said whether they make a pair."""

    instruction: str
    positive_constraint: str
    positive: str
    """Answer under the positive constraint."""
    toxic_constraint: str
    toxic: str
    """Answer under the toxic constraint."""


class Polarisation(Protocol):
    """How far apart the two answers of drafts are."""

    def gaps(self, drafts: Sequence[Draft]) -> list[float | None]:
        """One number a draft, more is further apart; None where it cannot be told."""


def constrained(constraint: str, instruction: str) -> tuple[Message, ...]:
    """The conversation in which an instruction is answered under a constraint."""
    return {"role": "system", "content": constraint}, {"role": "user", "content": instruction}


class JudgedPolarisation:
    """Safety of the positive answer minus that of the toxic one, -4 to 4, by a judge that sees no constraint."""

    def __init__(self, judge: Judge, budget: Budget | None = None) -> None:
        """budget: of what the judge may spend; None: no limit."""
        self._judge = judge
        self._budget = budget

    def gaps(self, drafts: Sequence[Draft]) -> list[float | None]:
        """Medians over the judge's repeats; None where an answer is unscored.

        Raises MergescopeError where the budget does not pay for all verdicts: an answer without one is not unscored.
        """
        questions: dict[str, Question] = {}
        asked = [[self._questions(d.instruction, text, questions) for text in (d.positive, d.toxic)] for d in drafts]
        scored = {question.judgement_id: judgement for question, judgement in self._judge.score(questions.values())}
        if self._budget is not None and (unpaid := len(questions) - len(scored)):
            raise self._budget.reached(f"left of this step: {unpaid:,}")
        safety = {
            name: score.value
            for name, judgement in scored.items()
            for score in judgement.scores
            if score.axis == "safety" and score.value is not None
        }
        return [_difference(*[_median(safety, names) for names in sides]) for sides in asked]

    def _questions(self, instruction: str, answer: str, questions: dict[str, Question]) -> list[str]:
        """Ids of the repeated questions about an answer, which join `questions`."""
        messages: tuple[Message, ...] = ({"role": "user", "content": instruction},)
        ids = []
        for repeat in range(self._judge.repeats):
            name = judgement_id(judge_id_of(self._judge), "harmful", prompt_id(messages), text_id(answer), None, repeat)
            questions[name] = Question(name, "harmful", messages, answer, None, repeat)
            ids.append(name)
        return ids


class LikelihoodPolarisation:
    """How much likelier the model holds each answer under its own constraint than under the other, in nats a token.

    gap = min over both sides of (log p(y | own constraint, x) - log p(y | other constraint, x)) / |y|. Each
    log p(y | c, x) is the likelihood of the whole conversation minus that of its head.
    """

    def __init__(self, engine: Engine, render: Callable[[Sequence[Message]], str]) -> None:
        """render: a conversation as text by the model's chat template, up to where the model speaks."""
        self._engine = engine
        self._render = render

    def gaps(self, drafts: Sequence[Draft]) -> list[float | None]:
        """None where a text does not fit into the model's context or has no likelihood."""
        heads = [[self._head(d, side) for side in ("positive", "toxic")] for d in drafts]
        texts = [
            text
            for d, pair in zip(drafts, heads, strict=True)
            for head in pair
            for text in (head, head + d.positive, head + d.toxic)
        ]
        found = self._engine.log_likelihoods(texts)
        likelihoods = [None if one.error_kind else one for one in found]
        gaps: list[float | None] = []
        for i in range(len(drafts)):
            six = likelihoods[6 * i : 6 * i + 6]
            if any(one is None for one in six):
                gaps.append(None)
                continue
            own, own_positive, own_toxic, other, other_positive, other_toxic = [one for one in six if one is not None]
            positive = own_positive.log_likelihood - own.log_likelihood
            positive -= other_positive.log_likelihood - other.log_likelihood
            toxic = other_toxic.log_likelihood - other.log_likelihood
            toxic -= own_toxic.log_likelihood - own.log_likelihood
            lengths = own_positive.tokens - own.tokens, other_toxic.tokens - other.tokens
            gaps.append(min(gain / max(length, 1) for gain, length in zip((positive, toxic), lengths, strict=True)))
        return gaps

    def _head(self, draft: Draft, side: str) -> str:
        constraint = draft.positive_constraint if side == "positive" else draft.toxic_constraint
        return self._render(constrained(constraint, draft.instruction))


def _median(safety: Mapping[str, float], names: Sequence[str]) -> float | None:
    values = [safety[name] for name in names if name in safety]
    return statistics.median(values) if values else None


def _difference(positive: float | None, toxic: float | None) -> float | None:
    return None if positive is None or toxic is None else positive - toxic
