"""Conversations with an engine: where several turns are to be answered, each knows the answers before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from eval.backlog import Wanted
from eval.engine import Answer, Engine, Request, Sampling
from eval.identity import Message


def conversations(
    engine: Engine, wanted: Sequence[Wanted], sampling: Sampling, seed: Callable[[Wanted, int], int]
) -> Iterator[tuple[Wanted, list[Answer]]]:
    """Each prompt with the answers to its turns, as soon as all are there or one has failed.

    Every prompt's first turn is asked before any second one, so that the engine always has much to do. seed: from a
    prompt and the number of its turn.
    """
    going: list[tuple[Wanted, list[Answer]]] = [(one, []) for one in wanted]
    while going:
        requests = [Request(_so_far(one, answers), seed(one, len(answers))) for one, answers in going]
        left = []
        for place, answer in engine.generate(requests, sampling):
            one, answers = going[place]
            answers.append(answer)
            if answer.error_kind is None and len(answers) < len(rounds(one.messages)):
                left.append(place)
            else:
                yield one, answers
        going = [going[place] for place in sorted(left)]


def rounds(messages: Sequence[Message]) -> list[tuple[Message, ...]]:
    """The parts of a conversation that each end in a turn to be answered, in order.

    Where two user turns follow each other, the first is answered before the second is asked.
    """
    ends = [i + 1 for i, message in enumerate(messages) if message["role"] == "user" and _asks(messages, i)]
    return [tuple(messages[start:end]) for start, end in zip([0, *ends], ends, strict=False)]


def _so_far(wanted: Wanted, answers: Sequence[Answer]) -> tuple[Message, ...]:
    """The conversation up to the turn that follows `answers`, one for each round before it."""
    parts = rounds(wanted.messages)
    return tuple(_said(parts, [answer.text for answer in answers]))


def _asks(messages: Sequence[Message], i: int) -> bool:
    return i + 1 == len(messages) or messages[i + 1]["role"] == "user"


def _said(parts: Sequence[Sequence[Message]], answers: Sequence[str]) -> Iterator[Message]:
    for part, answer in zip(parts, answers, strict=False):
        yield from part
        yield {"role": "assistant", "content": answer}
    yield from parts[len(answers)]
