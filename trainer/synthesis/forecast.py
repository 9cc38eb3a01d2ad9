"""What making data takes: requests, tokens, money and hours of each server. Pure functions of values and journals.

tokens = bytes / (bytes a token); money = tokens x price; hours = requests x latency / concurrency.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from eval.chat.journal import Journal
from eval.config import OpenAIJudge, Price
from eval.judge import Question as Asked
from eval.judges.cost import tariff_of
from eval.judges.rubric import READINGS, load_rubric
from eval.judging_forecast import Amount, hours_of, repair_bytes, verdict_bytes
from eval.prompt_length import BYTES_PER_TOKEN
from trainer.synthesis.config import WriterSection
from trainer.synthesis.prompts import Prompts
from trainer.synthesis.writer import Request, request_key

ANSWER_SHARE = 0.5
"""Mean text over max_tokens, until the journal tells: an assumption."""
DRAFT_TOKENS = 80
"""Tokens of a drafted question as JSON: an assumption."""
QUESTION_BYTES = 120
"""Bytes of UTF-8 of a question that is not drafted yet: an assumption."""


@dataclass(frozen=True, slots=True)
class Load:
    """What some requests take."""

    requests: int
    prompt_bytes: int
    completion_tokens: float

    def plus(self, other: Load) -> Load:
        """Both together."""
        return Load(
            self.requests + other.requests,
            self.prompt_bytes + other.prompt_bytes,
            self.completion_tokens + other.completion_tokens,
        )

    def amount(self, concurrency: int, price: Price | None) -> Amount:
        """In tokens, money and hours."""
        tokens, tariff = (round(self.prompt_bytes / BYTES_PER_TOKEN), round(self.completion_tokens)), tariff_of(price)
        cost = None if tariff is None else float(tariff.cost(*tokens))
        return Amount(self.requests, *tokens, cost, hours_of(self.requests, concurrency))


def left_of(
    section: WriterSection, seed: int, requests: Sequence[Request], journal: Journal, tokens: float, tries: int = 1
) -> Load:
    """What these requests take that have not been answered `tries` times yet. tokens: of one completion."""
    left = [max(0, tries - len(journal.responses(request_key(section, seed, one)))) for one in requests]
    sizes = [_size(one) * times for one, times in zip(requests, left, strict=True) if times]
    return Load(sum(left), sum(sizes), sum(left) * tokens)


def answer_tokens(section: WriterSection, journal: Journal) -> float:
    """Tokens of one text: the mean of those received, or assumed."""
    return journal.mean_generated() or section.max_tokens * ANSWER_SHARE


def to_come(prompts: Prompts, number: int, tokens: float) -> Load:
    """What safe answers to questions that are not drafted yet take, without examples."""
    size = len(prompts.system("safe").encode()) + QUESTION_BYTES
    return Load(number, number * size, number * tokens)


def judging(judge: OpenAIJudge, questions: Sequence[str], to_come: int, candidates: int, tokens: float) -> Load:
    """What ranking the candidates of these questions takes, if no two of them are equal. tokens: of a candidate."""
    rubric = load_rubric(judge.language)
    sizes = [*(len(question.encode()) for question in questions), *[QUESTION_BYTES] * to_come]
    asked = Asked("v1_" + "0" * 32, "harmful", ({"role": "user", "content": ""},), "", None, 0)
    shown = sum(len(message["content"].encode()) for message in rubric.messages(asked))
    shown += len(json.dumps(rubric.schema("harmful"))) + round(tokens * BYTES_PER_TOKEN)
    each = candidates * judge.repeats
    said = verdict_bytes(rubric, "harmful") / BYTES_PER_TOKEN
    return Load(len(sizes) * each, each * (sum(sizes) + shown * len(sizes)), len(sizes) * each * said)


def judging_most(judge: OpenAIJudge, once: Load) -> Load:
    """What the same takes where no verdict can be read and each is as long as can be. once: as `judging` says."""
    repair = repair_bytes(load_rubric(judge.language), "harmful")
    again = once.prompt_bytes + once.requests * repair
    tokens = READINGS * once.requests * judge.max_tokens
    return Load(READINGS * once.requests, once.prompt_bytes + (READINGS - 1) * again, tokens)


def _size(request: Request) -> int:
    """Bytes of UTF-8 of what is sent."""
    messages = len(json.dumps([dict(message) for message in request.messages], ensure_ascii=False).encode())
    return messages + (0 if request.schema is None else len(json.dumps(request.schema, ensure_ascii=False).encode()))
