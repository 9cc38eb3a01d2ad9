"""What judging takes: tokens, money and hours, from the questions that are left. Pure functions of values.

tokens = bytes / (bytes a token); money = tokens x price; hours = questions x latency / concurrency.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from eval.config import OpenAIJudge
from eval.judge import PAIRWISE, Question
from eval.judges.cost import tariff_of
from eval.judges.rubric import READINGS, REPLY_SHOWN, Rubric
from eval.length_control import ORDERS
from eval.outstanding import JudgeState
from eval.prompt_length import BYTES_PER_TOKEN
from eval.prompts import Item, Kind

REASON_BYTES = 160
"""Bytes of the reason for one grade: about a sentence of English, or 50 characters of Japanese; an assumption."""
LATENCY_S = 2.0
"""Seconds from a question to its verdict: an assumption, for a short verdict of a hosted model."""
LONGEST_CHARACTER = "\U0001f600"
"""One of those that take the most bytes of UTF-8, 4."""
BATCH_HOURS = 24.0
"""Hours within which a batch is worked off, or given up."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What some questions take."""

    questions: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """In the price's currency; None: the price is not known."""
    hours: float
    """At the recipe's concurrency; in batch mode the longest that it may take."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long questions and verdicts are."""

    bytes_per_token: float
    verdict_bytes: float | None
    """Mean of what the judge said so far; None: nothing yet."""
    judgements: int
    """Judgements that this was measured on; 0: assumed."""


@dataclass(frozen=True, slots=True)
class Coming:
    """Answers that are not given yet."""

    answers: Sequence[int]
    """Of each item, in order."""
    bytes: Sequence[float]
    """Expected bytes of UTF-8 of one answer to each item."""
    distinct: float | None
    """Share of different texts among the answers given so far; None: nothing is given yet."""
    often: Sequence[int]
    """Of each item, those among `answers` that are judged `judge_repeats` times or more."""
    judge_repeats: int


def shown_bytes(rubric: Rubric, item: Item, *, pair: bool = False) -> int:
    """Bytes of UTF-8 that the judge is sent about an item, the answer itself apart; the verdict's schema is counted.

    pair: whether it is shown two answers.
    """
    question = Question("v1_" + "0" * 32, item.kind, item.messages, "", item.reference, 0, "" if pair else None)
    messages = sum(len(message["content"].encode()) for message in rubric.messages(question))
    return messages + len(json.dumps(rubric.schema(question.rubric)))


def verdict_bytes(rubric: Rubric, kind: str) -> int:
    """Bytes of a usual verdict. kind: as `Question.rubric`."""
    axes = rubric.schema(kind)["required"]
    return len(json.dumps({axis: {"reason": "x" * REASON_BYTES, "grade": "partial"} for axis in axes}))


def lengths(seen: JudgeState, shown: Sequence[int]) -> Lengths:
    """Measured on what the judge has done, or assumed. shown: bytes of each item's question, its answer apart."""
    if not seen.seen:
        return Lengths(BYTES_PER_TOKEN, None, 0)
    said = sum(one.verdict_bytes for one in seen.seen)
    sent = sum(shown[one.place] + one.answer_bytes for one in seen.seen)
    tokens = sum(one.tokens for one in seen.seen)
    return Lengths((sent + said) / tokens, said / len(seen.seen), len(seen.seen))


def repair_bytes(rubric: Rubric, kind: Kind, *, pair: bool = False) -> int:
    """Bytes of UTF-8 that a second request is larger by: what the judge said, at its longest, and what to do instead.

    kind: of the prompt. pair: whether two answers are shown.
    """
    question = Question("v1_" + "0" * 32, kind, (), "", None, 0, "" if pair else None)
    once, again = (
        sum(len(message["content"].encode()) for message in rubric.messages(question, unreadable=unreadable))
        for unreadable in (None, LONGEST_CHARACTER * REPLY_SHOWN)
    )
    return again - once


def unread(section: OpenAIJudge, once: Amount, repair: int) -> Amount:
    """What the same questions take at the very most: no verdict can be read, and each is as long as can be.

    once: where each is asked once. repair: as `repair_bytes` tells.
    """
    questions = READINGS * once.questions
    repairs = (READINGS - 1) * once.questions * repair / BYTES_PER_TOKEN
    return _amount(section, questions, READINGS * once.prompt_tokens + repairs, questions * section.max_tokens)


def forecast(
    section: OpenAIJudge, rubric: Rubric, items: Sequence[Item], state: JudgeState, coming: Coming
) -> tuple[Amount, Amount | None, Lengths]:
    """What is left for a judge if all coming answers differ, if as many differ as so far, and the lengths used.

    The second is None where nothing tells how many differ.
    """
    shown = [shown_bytes(rubric, item) for item in items]
    length = lengths(state, shown)
    further = max(0, coming.judge_repeats - section.repeats)
    verdicts = [length.verdict_bytes or verdict_bytes(rubric, item.kind) for item in items]

    def amount(share: float) -> Amount:
        questions = sent = said = 0.0
        for place in range(len(items)):
            left = state.left.get(place)
            there, size = (left.questions, left.bytes) if left else (0, 0)
            new = (coming.answers[place] * section.repeats + coming.often[place] * further) * share
            questions += there + new
            sent += shown[place] * (there + new) + size + coming.bytes[place] * new
            said += verdicts[place] * (there + new)
        return _amount(section, round(questions), sent / length.bytes_per_token, said / length.bytes_per_token)

    return amount(1.0), None if coming.distinct is None else amount(coming.distinct), length


def pair_forecast(
    section: OpenAIJudge, rubric: Rubric, items: Sequence[Item], pairs: int, made: int, answer_bytes: float
) -> Amount:
    """What comparing takes at most: no two answers are equal, and no side refuses.

    pairs: pairs of answers to each item; made: questions about them that are answered already. A token is as long as
    assumed, for a comparison's verdict is another than those seen.
    """
    each = ORDERS * section.repeats
    questions = max(0, len(items) * pairs * each - made)
    if not questions:
        return _amount(section, 0, 0.0, 0.0)
    sent = sum(shown_bytes(rubric, item, pair=True) for item in items) / len(items) + 2 * answer_bytes
    said = verdict_bytes(rubric, PAIRWISE)
    return _amount(section, questions, questions * sent / BYTES_PER_TOKEN, questions * said / BYTES_PER_TOKEN)


def _amount(section: OpenAIJudge, questions: int, prompt: float, completion: float) -> Amount:
    tokens, tariff = (round(prompt), round(completion)), tariff_of(section.price)
    cost = None if tariff is None else float(tariff.cost(*tokens))
    hours = hours_of(questions, section.concurrency)
    if section.batch:
        hours = BATCH_HOURS if questions else 0.0
    return Amount(questions, *tokens, cost, hours)


def hours_of(requests: int, concurrency: int) -> float:
    """Hours that so many requests take, `concurrency` of them in flight."""
    return requests * LATENCY_S / concurrency / 3600
