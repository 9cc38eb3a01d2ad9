"""Judges in threads of their own: what one cannot mend ends all, and nobody works on after the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from eval.backlog import Asked, Given
from eval.chat import batch, batch_server
from eval.config import OpenAIJudge
from eval.identity import text_id
from eval.judge import Judge, Judgement, Question, judge_id_of, open_judge
from eval.judges.proxy import ProxyScorer
from eval.judging import Bench
from eval.prompts import PromptSet
from eval.records import CheckpointJob
from mergescope.ground.errors import MergescopeError
from tests.eval.batch_server import BatchServer
from tests.eval.served import Reply, completion, serving
from tests.eval.test_sweep import jobs

[JOB] = jobs("0")
MANY = 200
SLOW_S = 5.0
"""Seconds that a server takes."""


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


class Unlucky(ProxyScorer):
    """Fails once another judge's server has its questions."""

    def __init__(self, server: BatchServer) -> None:
        super().__init__("en")
        self._server = server

    @property
    def setting(self) -> dict[str, object]:
        return {"kind": "unlucky"}

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        next(iter(questions))
        wait_for(self._server)
        raise MergescopeError("the other server refuses the key")


def wait_for(server: BatchServer) -> None:
    """Until it looks at a batch, or has a question in flight."""
    deadline = time.monotonic() + 30
    while not (server.in_flight or any(" /v1/batches/" in head for head in server.heads)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("in_batches", [True, False])
@pytest.mark.parametrize("other_fails", [True, False])
def test_nobody_waits_for_a_server_once_all_is_called_off(
    small_set: PromptSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_batches: bool, other_fails: bool
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "canary-key-37")
    monkeypatch.setattr(batch, "CHECK_S", 0.01)
    monkeypatch.setattr(batch_server, "POLL_S", 0.02)
    server = BatchServer()
    server.looks = [Reply(200, completion("late").body, after_s=SLOW_S)]
    server.rule = lambda _: Reply(200, completion("late").body, after_s=SLOW_S)
    with serving(server):
        settings = {"kind": "openai", "model": "m", "base_url": server.base_url, "api_key_env": "JUDGE_KEY"}
        judges = [open_judge(OpenAIJudge.model_validate({**settings, "batch": in_batches}), tmp_path)]
        started = time.monotonic()
        with (
            pytest.raises(MergescopeError if other_fails else KeyboardInterrupt),
            bench([*judges, *([Unlucky(server)] if other_fails else [])], small_set, Record()) as one,
        ):
            one.put(JOB, next(answers(small_set)))
            if not other_fails:
                one._end()  # as at the end of a sweep: the judges take no more questions
                wait_for(server)
                raise KeyboardInterrupt
        assert time.monotonic() - started < SLOW_S
