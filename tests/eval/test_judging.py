"""Judges in threads of their own: what one cannot mend ends all, and nobody works on after the end."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

import pytest

from eval.backlog import Asked, Given
from eval.identity import text_id
from eval.judge import Judge, Judgement, Question, judge_id_of
from eval.judges.proxy import ProxyScorer
from eval.judging import Bench
from eval.prompts import PromptSet
from eval.records import CheckpointJob
from mergescope.ground.errors import MergescopeError
from tests.eval.test_sweep import jobs

[JOB] = jobs("0")
MANY = 200


class Steady(ProxyScorer):
    """Takes its time over each judgement."""

    @property
    def setting(self) -> dict[str, object]:
        return {"kind": "steady"}

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        for pair in super().score(questions):
            threading.Event().wait(0.02)
            yield pair


class Broken(ProxyScorer):
    """Cannot judge anything."""

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        next(iter(questions))
        raise MergescopeError("the judge's server refuses the key")


class Record:
    """Counts judgements, and says when the first is there."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.begun = threading.Event()

    def __call__(self, job: CheckpointJob, asked: Asked, judgement: Judgement) -> None:
        assert (job, judgement.error_kind) == (JOB, None)
        self.made.append(asked.row.judgement_id)
        self.begun.set()


def bench(judges: list[Judge], one_set: PromptSet, record: Record) -> Bench:
    return Bench(judges, [one_set], {judge_id_of(judge): set() for judge in judges}, record)


def answers(one_set: PromptSet) -> Iterator[Given]:
    for number in range(MANY):
        yield Given(one_set.items[0].prompt_id, text_id(f"answer {number}"), f"answer {number}")


def test_all_are_judged_before_it_ends(small_set: PromptSet) -> None:
    record = Record()
    with bench([ProxyScorer("en")], small_set, record) as one:
        assert sum(one.put(JOB, given) for given in answers(small_set)) == MANY
        assert sum(one.put(JOB, given) for given in answers(small_set)) == 0  # equal ones are asked once
    assert len(record.made) == len(set(record.made)) == MANY


def test_one_judge_that_fails_at_the_end_does_not_wait_for_the_others(small_set: PromptSet) -> None:
    record = Record()
    with (
        pytest.raises(MergescopeError, match="refuses the key"),
        bench([Steady("en"), Broken("en")], small_set, record) as one,
    ):
        for given in answers(small_set):
            try:
                one.put(JOB, given)
            except MergescopeError:
                break
    assert len(record.made) < MANY


def test_nobody_judges_after_an_interrupt(small_set: PromptSet) -> None:
    record = Record()
    with pytest.raises(KeyboardInterrupt), bench([Steady("en")], small_set, record) as one:
        for given in answers(small_set):
            one.put(JOB, given)
        assert record.begun.wait(30)
        raise KeyboardInterrupt
    made = len(record.made)
    assert made < MANY
    threading.Event().wait(0.1)
    assert len(record.made) == made
