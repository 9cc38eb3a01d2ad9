"""Pairs for borderline questions: a helpful answer, and a needless refusal from templates as the answer to avoid."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager

from eval.chat.client import SPARE
from eval.chat.stream import completed
from trainer.synthesis.answers import Answering
from trainer.synthesis.questions import Question
from trainer.synthesis.writer import Failed, Writer, Written


def helpful_answers(
    answering: Answering, writer: Writer, questions: Iterable[Question]
) -> Iterator[tuple[Question, Written[str] | Failed]]:
    """Each question with its answer, as soon as it is there.

    Raises MergescopeError for what no retry mends: a wrong key, an unknown model, a server that never answers.
    """

    @asynccontextmanager
    async def opened() -> AsyncIterator[Callable[[Question], Awaitable[Written[str] | Failed]]]:
        async with writer.opened() as session:
            yield lambda question: answering.one("borderline", writer, session, question)

    return completed(questions, opened, writer.section.concurrency * SPARE)
