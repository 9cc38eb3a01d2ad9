"""Judging at a server that fails in every way, and in a process that is killed: nothing lost, nothing asked twice."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest

from eval.chat import client
from eval.config import OpenAIJudge, PromptSetFile
from eval.engine import Answer, Request
from eval.judge import PASSING, open_judge
from eval.prompt_files import load_prompt_set
from eval.store import open_store
from tests.eval.judging import judge_all
from tests.eval.served import Body, Reply, Server, completion, refusal, serving, verdict
from tests.eval.test_sweep import EchoEngine, jobs, run

GOOD = completion(verdict("harmful"))
LATENCY_S = 0.05


@dataclass
class Troubled:
    """10 % overload, 5 % failures, 2 % too late, 2 % malformed (half of it just the verdict), 1 % cut, 1 % filtered."""

    late_s: float = 1.5
    """Seconds that the late replies take."""
    draws: random.Random = field(default_factory=lambda: random.Random(7))
    received: Counter[str] = field(default_factory=Counter)
    """Whole, readable verdicts sent, by question."""
    lasting: int = 0
    """Replies sent that are worth a line in the journal: verdicts, readable or not, and what a filter took."""

    def __call__(self, body: Body) -> Reply:
        draw = self.draws.random()
        if draw < 0.10:
            return refusal(429, "busy", **({"retry_after": "0.02"} if draw < 0.05 else {}))
        for share, reply in (
            (0.15, refusal(500)),
            (0.17, replace(GOOD, after_s=self.late_s)),
            (0.18, Reply(200, "{")),
            (0.19, completion('{"safety":')),
            (0.20, replace(GOOD, cut=True)),
            (0.21, refusal(400, "blocked", "content_filter")),
        ):
            if draw < share:
                self.lasting += share in (0.19, 0.21)
                return reply
        self.lasting += 1
        self.received[marked(body)] += 1
        return GOOD


def marked(body: Body) -> str:
    """The question's number, from the fences around what is judged."""
    found = re.search(r"<<<END ([0-9a-f]+)>>>", body["messages"][1]["content"])
    assert found is not None
    return found[1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("JUDGE_KEY", "canary-key-99")
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    with serving(Server()) as one:
        yield one


def test_every_question_ends_once_scored_or_with_a_kind(server: Server, tmp_path: Path) -> None:
    count = 150
    troubled = server.rule = Troubled()
    done = judge_all(server.port, tmp_path, count, 32)
    assert sorted(question.judgement_id for question, _ in done) == [f"v1_{i:012}" for i in range(count)]
    kinds = Counter(judgement.error_kind for _, judgement in done)
    assert set(kinds) <= {None, "filter", "timeout", "server", "parse"}
    assert kinds[None] >= 0.95 * count
    assert all((judgement.error_kind is None) == bool(judgement.scores) for _, judgement in done)
    assert set(troubled.received.values()) == {1}  # what was received whole was not asked again


class DifferingEngine(EchoEngine):
    """Answers that no two checkpoints or prompts share."""

    def _answer(self, request: Request) -> Answer:
        return Answer(f"{self._weight} {request.messages[-1]['content']}", "stop", 9)


@pytest.mark.deep
def test_ten_thousand_judgements_end_once_in_the_store(
    server: Server, tmp_path: Path, write_set: Callable[..., Path]
) -> None:
    lines = [{"key": f"{i}", "kind": "harmful", "prompt": f"question {i}"} for i in range(1250)]
    one_set = load_prompt_set(PromptSetFile(name="many", path=(path := write_set(lines))), path, 1, Decimal("0.3"))
    checkpoints = jobs(*(f"0.{i}" for i in range(1, 9)))
    address = {"kind": "openai", "model": "m", "base_url": server.base_url, "api_key_env": "JUDGE_KEY"}
    section = OpenAIJudge.model_validate({**address, "concurrency": 32}).model_copy(update={"timeout_s": 2})
    troubled = server.rule = Troubled(late_s=4.0)
    store = tmp_path / "results.duckdb"
    count, _ = run(store, [one_set], checkpoints, DifferingEngine(), [open_judge(section, tmp_path / "journal")])
    assert (count.answers, count.judgements) == (10_000, 10_000)
    kinds = ended(store)
    assert set(kinds) <= {None, "filter", "timeout", "server", "parse"}
    assert {kind: n for kind, n in kinds.items() if kind is not None} == count.errors
    assert kinds[None] >= 9_500
    assert set(troubled.received.values()) == {1}  # what was received whole was not asked again
    (journal,) = (tmp_path / "journal").iterdir()
    assert journal.read_bytes().count(b"\n") == troubled.lasting

    server.rule = lambda _: GOOD
    passing = sum(kinds[kind] for kind in PASSING)
    count, _ = run(store, [one_set], checkpoints, DifferingEngine(), [open_judge(section, tmp_path / "journal")])
    assert (count.answers, count.judgements, count.errors) == (0, passing, {})
    assert ended(store) == {**{k: n for k, n in kinds.items() if k not in PASSING}, None: kinds[None] + passing}


def ended(store: Path) -> Counter[str | None]:
    """How many of 10,000 judgements ended with each kind of error, None for those with both of their scores."""
    with open_store(store, read_only=True) as connection:
        found = connection.execute(
            """SELECT error_kind, count(axis) FROM judgement LEFT JOIN score USING (judgement_id)
            GROUP BY judgement_id, error_kind"""
        ).fetchall()
    assert len(found) == 10_000
    assert all(scores == (2 if kind is None else 0) for kind, scores in found)
    return Counter(kind for kind, _ in found)


@pytest.mark.parametrize("kills", [1, pytest.param(8, marks=pytest.mark.deep)])
def test_a_kill_asks_again_at_most_what_was_in_flight(server: Server, tmp_path: Path, kills: int) -> None:
    count, concurrency = 400, 16
    server.rule = lambda _: replace(GOOD, after_s=LATENCY_S)
    command = [sys.executable, "-m", "tests.eval.judging", str(server.port), str(tmp_path), str(count)]
    for kill in range(kills):
        asked = len(server.requests)
        running = subprocess.Popen([*command, str(concurrency)], stdout=subprocess.DEVNULL)
        while len(server.requests) < asked + 30 + 5 * kill:
            assert running.poll() is None
            time.sleep(0.005)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    ended = subprocess.run([*command, str(concurrency)], capture_output=True, text=True, check=True)
    assert ended.stdout == f"{count} {{'scored': {count}}}\n"
    times = Counter(marked(body) for body in server.requests)
    assert len(times) == count
    assert 0 < sum(times.values()) - count <= concurrency * kills
