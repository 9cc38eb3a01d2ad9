"""Judges at work beside the engine, each in a thread of its own, so that neither waits for the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from types import TracebackType

from eval.backlog import Asked, Given, Pair, Questions, comparisons
from eval.judge import Judge, Judgement, Question, judge_id_of
from eval.prompts import PromptSet
from eval.records import CheckpointJob

Record = Callable[[CheckpointJob, Asked, Judgement], None]


class _CalledOffError(Exception):
    """Raised where a judge takes its next question, so that it drops what it is at."""


@dataclass(slots=True)
class _Seat:
    """One judge and what lies before it."""

    judge: Judge
    judge_id: str
    seen: set[str]
    """Judgements that it made or was asked for."""
    inbox: SimpleQueue[tuple[CheckpointJob, Asked] | None] = field(default_factory=SimpleQueue)
    """None ends it."""
    open: dict[str, tuple[CheckpointJob, Asked]] = field(default_factory=dict)
    """Questions that it took, by judgement id."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What one judge is asked, until the bench calls it off."""

    seat: _Seat
    stopping: threading.Event

    @property
    def called_off(self) -> bool:
        """Whether nobody wants its judgements; a judge that has taken its last question can learn it only here."""
        return self.stopping.is_set()

    def __iter__(self) -> Iterator[Question]:
        while (entry := self.seat.inbox.get()) is not None:
            if self.called_off:
                raise _CalledOffError
            self.seat.open[entry[1].row.judgement_id] = entry
            yield entry[1].question
        if self.called_off:
            raise _CalledOffError


class Bench:
    """Takes answers as they come, and asks every judge what it has not judged. Use it as a context.

    A block that ends well waits for all judgements, or for the first judge that fails. One that ends in an error calls
    off what is in flight: the next run finds it again, and what a server sent in full is in its journal.
    """

    def __init__(
        self, judges: Sequence[Judge], sets: Sequence[PromptSet], made: Mapping[str, set[str]], record: Record
    ) -> None:
        """made: by judge id, the judgements that it need not make again. record: is called in the judges' threads."""
        self._seats = [_Seat(judge, judge_id_of(judge), set(made[judge_id_of(judge)])) for judge in judges]
        self._questions = Questions(sets)
        self._record = record
        self._pool = ThreadPoolExecutor(len(self._seats) or 1, thread_name_prefix="judge")
        self._stopping = threading.Event()
        self._work: list[Future[None]] = []

    def __enter__(self) -> Bench:
        self._work = [self._pool.submit(self._sit, seat) for seat in self._seats]
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _traceback: TracebackType | None) -> None:
        try:
            if kind is None:
                self._end()
                wait(self._work, return_when=FIRST_EXCEPTION)
                self.check()
        finally:  # an interrupt of the waiting included
            self._stopping.set()
            self._end()
            self._pool.shutdown(wait=True)

    def put(self, job: CheckpointJob, given: Given) -> int:
        """Have each judge score an answer; returns how many questions that are. Equal ones are asked once.

        Raises what a judge raised meanwhile.
        """
        self.check()
        return sum(
            _put(seat, job, self._questions.about(given, seat.judge, seat.judge_id, job.judge_repeats))
            for seat in self._seats
        )

    def compare(self, job: CheckpointJob, judge_id: str, pair: Pair) -> int:
        """Have one judge say which of two answers is better, in both orders; as `put`."""
        self.check()
        mine = [seat for seat in self._seats if seat.judge_id == judge_id]
        return sum(_put(seat, job, comparisons(pair, judge_id, seat.judge.repeats)) for seat in mine)

    def check(self) -> None:
        """Raise what a judge raised."""
        for future in self._work:
            if future.done():
                future.result()

    def _end(self) -> None:
        for seat in self._seats:
            seat.inbox.put(None)

    def _sit(self, seat: _Seat) -> None:
        with suppress(_CalledOffError):
            for question, judgement in seat.judge.score(_Taken(seat, self._stopping)):
                job, asked = seat.open.pop(question.judgement_id)
                self._record(job, asked, judgement)


def _put(seat: _Seat, job: CheckpointJob, questions: Iterable[Asked]) -> int:
    """Put what a judge was not asked yet before it; returns how many questions that are."""
    new = 0
    for asked in questions:
        if asked.row.judgement_id not in seat.seen:
            seat.seen.add(asked.row.judgement_id)
            seat.inbox.put((job, asked))
            new += 1
    return new
