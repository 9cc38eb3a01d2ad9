"""Pairs for harmful questions: a safe answer, and the most dangerous of several candidates as the answer to avoid."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue

from eval.chat.client import SPARE, Session
from eval.chat.stream import completed
from eval.judge import Judge, Judgement, judge_id_of
from eval.judge import Question as Asked
from trainer.synthesis.answers import Answering
from trainer.synthesis.danger import Ranked, judge_questions, most_dangerous
from trainer.synthesis.questions import Question
from trainer.synthesis.shots import Shots
from trainer.synthesis.writer import Failed, Writer, Written


@dataclass(frozen=True, slots=True)
class HarmfulPair:
    """What a pair is made of."""

    question: Question
    chosen: Written[str]
    shots: int
    """Examples that the writer was shown."""
    rejected: Written[str]
    """Toxic: it goes to the quarantine and nowhere else."""
    rank: Ranked
    candidates: int
    """Usable ones that it was picked from."""


@dataclass(frozen=True, slots=True)
class _Answered:
    """A question with its answers, before they are judged."""

    chosen: Written[str]
    shots: int
    candidates: Sequence[Written[str]]


@dataclass(slots=True)
class _Open:
    """A question whose candidates lie before the judge."""

    question: Question
    answered: _Answered
    missing: int
    """Judgements to come."""
    judgements: dict[str, list[Judgement]] = field(default_factory=dict)
    """By text of the candidate."""


class HarmfulPairs:
    """Has answers written and judged at the same time, each server at its own pace."""

    def __init__(
        self, answering: Answering, writer: Writer, second: Writer, judge: Judge, shots: Shots, candidates: int
    ) -> None:
        """candidates: answers to avoid that are asked for, for each question."""
        self._answering = answering
        self._writer = writer
        self._second = second
        self._judge = judge
        self._shots = shots
        self._candidates = candidates

    def made(self, questions: Iterable[Question]) -> Iterator[tuple[Question, HarmfulPair | Failed]]:
        """Each question with its pair, as soon as it is there.

        Raises MergescopeError for what no retry mends: a wrong key, an unknown model, a server that never answers.
        """
        before = _BeforeTheJudge(questions, self._answered, self._asked)
        try:
            for asked, judgement in self._judge.score(before):
                yield from before.failures()
                if (done := before.judged(asked, judgement)) is not None:
                    yield done.question, _pair(done)
            yield from before.failures()
            yield from ((left.question, Failed("budget")) for left in before.left())
        finally:
            before.call_off()

    def _answered(self, questions: Iterable[Question]) -> Iterator[tuple[Question, _Answered | Failed]]:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Callable[[Question], Awaitable[_Answered | Failed]]]:
            async with self._writer.opened() as writer, self._second.opened() as second:
                yield partial(self._answer, writer, second)

        width = max(self._writer.section.concurrency, self._second.section.concurrency)
        return completed(questions, opened, width * SPARE)

    async def _answer(self, writer: Session, second: Session, question: Question) -> _Answered | Failed:
        shots = self._shots.of(question) if question.chosen is None else ()
        chosen = await self._answering.one("safe", self._writer, writer, question, shots)
        if isinstance(chosen, Failed):
            return chosen
        candidates = await self._answering.several("harmful", self._second, second, question.prompt, self._candidates)
        return candidates if isinstance(candidates, Failed) else _Answered(chosen, len(shots), candidates)

    def _asked(self, question: Question, answered: _Answered) -> list[Asked]:
        texts = [candidate.value for candidate in answered.candidates]
        return list(judge_questions(question, texts, judge_id_of(self._judge), self._judge.repeats))


class _BeforeTheJudge:
    """Candidates as the judge takes them, in a thread of its own; called off where nobody waits for judgements."""

    def __init__(
        self,
        questions: Iterable[Question],
        answered: Callable[[Iterable[Question]], Iterator[tuple[Question, _Answered | Failed]]],
        asked: Callable[[Question, _Answered], list[Asked]],
    ) -> None:
        self._questions = questions
        self._answered = answered
        self._asked = asked
        self._stopping = threading.Event()
        self._failed: SimpleQueue[tuple[Question, Failed]] = SimpleQueue()
        self._open: dict[str, _Open] = {}
        """By the id of each judgement to come."""

    @property
    def called_off(self) -> bool:
        """Whether nobody wants what comes of them."""
        return self._stopping.is_set()

    def call_off(self) -> None:
        """Ask for no more answers."""
        self._stopping.set()

    def __iter__(self) -> Iterator[Asked]:
        for question, outcome in self._answered(_Until(self._questions, self._stopping)):
            if isinstance(outcome, Failed):
                self._failed.put((question, outcome))
                continue
            asked = self._asked(question, outcome)
            opened = _Open(question, outcome, len(asked))
            self._open |= {one.judgement_id: opened for one in asked}
            yield from asked

    def failures(self) -> Iterator[tuple[Question, Failed]]:
        """The questions that came to no candidates since the last call."""
        try:
            while True:
                yield self._failed.get_nowait()
        except Empty:
            return

    def judged(self, asked: Asked, judgement: Judgement) -> _Open | None:
        """Note a judgement; the question's, where that was its last one."""
        one = self._open.pop(asked.judgement_id)
        one.judgements.setdefault(asked.answer, []).append(judgement)
        one.missing -= 1
        return None if one.missing else one

    def left(self) -> Iterator[_Open]:
        """The questions that the judge was not asked about in full."""
        yield from {one.question.question_id: one for one in self._open.values()}.values()


@dataclass(frozen=True, slots=True)
class _Until:
    """Questions, until they are called off."""

    questions: Iterable[Question]
    stopping: threading.Event

    @property
    def called_off(self) -> bool:
        """Whether nobody wants what comes of them."""
        return self.stopping.is_set()

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)


def _pair(done: _Open) -> HarmfulPair | Failed:
    candidates = done.answered.candidates
    rank = most_dangerous([candidate.value for candidate in candidates], done.judgements)
    if isinstance(rank, Failed):
        return rank
    return HarmfulPair(
        question=done.question,
        chosen=done.answered.chosen,
        shots=done.answered.shots,
        rejected=candidates[rank.place],
        rank=rank,
        candidates=len(candidates),
    )
