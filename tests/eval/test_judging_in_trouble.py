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
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from eval.chat import client
from tests.eval.judging import judge_all
from tests.eval.served import Body, Reply, Server, completion, refusal, serving, verdict

GOOD = completion(verdict("harmful"))
LATENCY_S = 0.05


@dataclass
class Troubled:
    """10 % overload, 5 % failures, 2 % too late, 2 % malformed (half of it just the verdict), 1 % cut, 1 % filtered."""

    draws: random.Random = field(default_factory=lambda: random.Random(7))
    received: Counter[str] = field(default_factory=Counter)
    """Whole, readable verdicts sent, by question."""

    def __call__(self, body: Body) -> Reply:
        draw = self.draws.random()
        if draw < 0.10:
            return refusal(429, "busy", **({"retry_after": "0.02"} if draw < 0.05 else {}))
        for share, reply in (
            (0.15, refusal(500)),
            (0.17, replace(GOOD, after_s=1.5)),
            (0.18, Reply(200, "{")),
            (0.19, completion('{"safety":')),
            (0.20, replace(GOOD, cut=True)),
            (0.21, refusal(400, "blocked", "content_filter")),
        ):
            if draw < share:
                return reply
        self.received[marked(body)] += 1
        return GOOD


def marked(body: Body) -> str:
    """The question's number, from the fences around what is judged."""
    found = re.search(r"<<<END (\d+)>>>", body["messages"][1]["content"])
    assert found is not None
    return found[1]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("JUDGE_KEY", "canary-key-99")
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    with serving(Server()) as one:
        yield one


@pytest.mark.parametrize("count", [150, pytest.param(2000, marks=pytest.mark.deep)])
def test_every_question_ends_once_scored_or_with_a_kind(server: Server, tmp_path: Path, count: int) -> None:
    troubled = server.rule = Troubled()
    done = judge_all(server.port, tmp_path, count, 32)
    assert sorted(question.judgement_id for question, _ in done) == [f"v1_{i:012}" for i in range(count)]
    kinds = Counter(judgement.error_kind for _, judgement in done)
    assert set(kinds) <= {None, "filter", "timeout", "server", "parse"}
    assert kinds[None] >= 0.95 * count
    assert all((judgement.error_kind is None) == bool(judgement.scores) for _, judgement in done)
    assert set(troubled.received.values()) == {1}  # what was received whole was not asked again


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
