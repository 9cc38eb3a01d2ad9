"""One writer at a server that misbehaves: bounded tries, each failure by its kind, nothing asked twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eval.chat import client
from eval.chat.budget import Budget
from mergescope.ground.errors import MergescopeError
from tests.eval.served import Reply, Server, completion, refusal, serving
from tests.trainer.synthesis.scripted import WRITER, server_keys
from trainer.synthesis.answers import Answering
from trainer.synthesis.borderline import helpful_answers
from trainer.synthesis.config import WriterSection
from trainer.synthesis.prompts import load_prompts
from trainer.synthesis.questions import Question
from trainer.synthesis.usable import Fault
from trainer.synthesis.writer import Failed, Writer, Written

GOOD = "材料をそろえて、順番に進めれば作れます。"
META = {"risk-area": "甲", "harm-type": "乙", "specific-harm": "丙"}
ANSWERING = Answering(load_prompts("ja"), "ja")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MAKE_KEY", "canary-key-77")
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(client, "TRIES", 3)
    monkeypatch.setattr(client, "BUSY_TRIES", 5)
    with serving(Server()) as one:
        yield one


def writer_at(server: Server, folder: Path, budget: Budget | None = None, tries: int = 2, **more: Any) -> Writer:
    section = WriterSection.model_validate(server_keys(server.base_url, WRITER, **more))
    return Writer(section, "the writer's server", folder / "writer.jsonl", seed=1, tries=tries, budget=budget)


def answered(writer: Writer, count: int = 1) -> list[Written[str] | Failed]:
    questions = [Question("borderline", f"{i}番の作り方は？", META, None, None, None) for i in range(count)]
    return [outcome for _, outcome in helpful_answers(ANSWERING, writer, questions)]


def test_a_response_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    server.script = [completion(GOOD)]
    first = answered(writer_at(server, tmp_path), 5)
    assert first == [Written(GOOD, "writer (served-1)")] * 5
    assert len(server.requests) == 5
    again = writer_at(server, tmp_path)
    assert answered(again, 5) == first
    assert len(server.requests) == 5
    assert again.chat.used.requests == 0
    answered(writer_at(server, tmp_path, temperature=0.5))
    assert len(server.requests) == 6  # another request


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (completion(""), "empty"),
        (completion(None), "empty"),
        (completion(" \n "), "empty"),
        (completion("You need tuna, squid and natto for this dish."), "language"),
        (completion("申し訳ありませんが、お答えできません。"), "refused"),
        (completion(None, refusal="no"), "refused"),
        (completion("材料を", "length"), "length"),
        (completion("材料を", "content_filter"), "filter"),
    ],
)
def test_what_cannot_be_used_is_asked_for_once_more_and_never_again(
    server: Server, tmp_path: Path, bad: Reply, fault: Fault
) -> None:
    server.script = [bad]
    assert answered(writer_at(server, tmp_path)) == [Failed(fault)]
    assert len(server.requests) == 2
    assert len({body["seed"] for body in server.requests}) == 2
    assert answered(writer_at(server, tmp_path)) == [Failed(fault)]
    assert len(server.requests) == 2
    server.script = [completion(GOOD)]
    assert answered(writer_at(server, tmp_path, tries=3)) == [Written(GOOD, "writer (served-1)")]


def test_a_second_try_may_do(server: Server, tmp_path: Path) -> None:
    server.script = [completion(""), completion(GOOD)]
    assert answered(writer_at(server, tmp_path)) == [Written(GOOD, "writer (served-1)")]


def test_a_filtered_request_is_not_tried_with_another_seed(server: Server, tmp_path: Path) -> None:
    server.script = [refusal(400, "blocked", "content_filter")]
    assert answered(writer_at(server, tmp_path)) == [Failed("filter")]
    assert len(server.requests) == 1
    assert answered(writer_at(server, tmp_path)) == [Failed("filter")]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("bad", "fault", "most"),
    [
        (refusal(429, "busy", retry_after="0.02"), "server", 5),
        (refusal(500), "server", 3),
        (Reply(200, completion(GOOD).body, cut=True), "server", 3),
        (Reply(200, "<html>"), "server", 3),
        (completion(GOOD, "error"), "server", 3),
    ],
)
def test_what_may_pass_is_tried_a_bounded_number_of_times_and_asked_another_run(
    server: Server, tmp_path: Path, bad: Reply, fault: Fault, most: int
) -> None:
    server.script = [completion(GOOD), bad]
    assert answered(writer_at(server, tmp_path, concurrency=1), 2) == [
        Written(GOOD, "writer (served-1)"),
        Failed(fault),
    ]
    assert len(server.requests) == 1 + most
    server.script = [completion(GOOD)]
    assert answered(writer_at(server, tmp_path), 2) == [Written(GOOD, "writer (served-1)")] * 2
    assert len(server.requests) == 2 + most


def test_a_late_answer_is_a_timeout(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TRIES", 2)
    server.script = [completion(GOOD), Reply(200, completion(GOOD).body, after_s=9)]
    writer = writer_at(server, tmp_path, concurrency=1, timeout_s=1)
    assert answered(writer, 2) == [Written(GOOD, "writer (served-1)"), Failed("timeout")]


def test_a_wrong_key_stops_the_run(server: Server, tmp_path: Path) -> None:
    server.script = [refusal(401)]
    with pytest.raises(MergescopeError, match="refuses the key"):
        answered(writer_at(server, tmp_path))


def test_a_missing_key_is_said_before_anything_is_sent(server: Server, tmp_path: Path) -> None:
    with pytest.raises(MergescopeError, match="the key of the writer's server is not set"):
        writer_at(server, tmp_path, api_key_env="NO_SUCH_KEY")


def test_a_budget_leaves_the_rest_for_another_run(server: Server, tmp_path: Path) -> None:
    server.script = [completion(GOOD)]
    budget = Budget(Decimal(1200), "tokens")
    first = answered(writer_at(server, tmp_path, budget, max_tokens=16, concurrency=1), 60)
    paid = sum(isinstance(outcome, Written) for outcome in first)
    assert 0 < paid < 60
    assert first.count(Failed("budget")) == 60 - paid
    assert budget.spent == 15 * paid <= 1200
    assert len(server.requests) == paid
    assert answered(writer_at(server, tmp_path, max_tokens=16), 60) == [Written(GOOD, "writer (served-1)")] * 60
    assert len(server.requests) == 60


def test_what_was_used_is_counted(server: Server, tmp_path: Path) -> None:
    server.script = [completion(""), completion(GOOD)]
    writer = writer_at(server, tmp_path)
    answered(writer)
    assert (writer.chat.used.requests, writer.chat.used.prompt, writer.chat.used.completion) == (2, 20, 10)


@pytest.fixture
def outcome_of(server: Server, tmp_path: Path) -> Callable[[str], Written[str] | Failed]:
    def ask(text: str) -> Written[str] | Failed:
        server.script = [completion(text)]
        return answered(writer_at(server, tmp_path))[0]

    return ask


def test_blanks_around_an_answer_are_dropped(outcome_of: Callable[[str], Written[str] | Failed]) -> None:
    assert outcome_of(f"\n{GOOD}\n") == Written(GOOD, "writer (served-1)")
