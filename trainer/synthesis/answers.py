"""Answers asked of writers: a safe one, several to avoid, a helpful one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from eval.chat.client import Session
from eval.judges.refusal_label import Label, Language
from trainer.synthesis.prompts import AnswerWork, Prompts, Shot
from trainer.synthesis.questions import Question
from trainer.synthesis.usable import PASSING, fault_of_text
from trainer.synthesis.writer import Failed, Request, Writer, Written

T = TypeVar("T")

NO_ANSWER: dict[AnswerWork, frozenset[Label]] = {
    "safe": frozenset(),
    "harmful": frozenset({"full"}),
    "borderline": frozenset({"partial", "full"}),
}
"""Refusals that are not wanted: a safe answer may decline, one to avoid must not wholly, a helpful one never."""


class Answering:
    """Asks for answers in one language by one file of prompts."""

    def __init__(self, prompts: Prompts, language: Language) -> None:
        self._prompts = prompts
        self._language = language

    async def one(
        self, work: AnswerWork, writer: Writer, session: Session, question: Question, shots: Sequence[Shot] = ()
    ) -> Written[str] | Failed:
        """One answer to a question: the one that it comes with, or one that is written."""
        if question.chosen is not None:
            return Written(question.chosen, "")
        prompt = question.prompt
        return await self._asked(work, writer, session, self.request(work, prompt, shots), prompt)

    async def several(
        self, work: AnswerWork, writer: Writer, session: Session, prompt: str, number: int
    ) -> tuple[Written[str], ...] | Failed:
        """As many answers as can be used of `number` to a question, at least one.

        Failed where none can be used, and where one is missing that another run may get: fewer are then no choice of
        the model's, but of the moment.
        """
        asking = [
            self._asked(work, writer, session, self.request(work, prompt, sample=sample), prompt)
            for sample in range(number)
        ]
        outcomes = await _together(asking)
        failed = [outcome for outcome in outcomes if isinstance(outcome, Failed)]
        passing = [outcome for outcome in failed if outcome.fault in PASSING]
        if passing or len(failed) == number:
            return (passing or failed)[0]
        return tuple(outcome for outcome in outcomes if not isinstance(outcome, Failed))

    def request(self, work: AnswerWork, prompt: str, shots: Sequence[Shot] = (), sample: int = 0) -> Request:
        """What a writer is sent."""
        return Request(self._prompts.answering(work, prompt, shots), sample)

    async def _asked(
        self, work: AnswerWork, writer: Writer, session: Session, request: Request, prompt: str
    ) -> Written[str] | Failed:
        return await writer.write(session, request, partial(self._read, work, prompt))

    def _read(self, work: AnswerWork, prompt: str, text: str) -> str | Failed:
        fault = fault_of_text(text, self._language, prompt, NO_ANSWER[work])
        return text if fault is None else Failed(fault)


async def _together(asking: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What comes of each; the first that raises stops the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asking]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
