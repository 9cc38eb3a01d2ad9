"""Safe answers, candidates and the judge's ranking, all at once, at servers that behave and that do not."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eval.chat import client
from eval.chat.budget import Budget
from eval.config import OpenAIJudge
from eval.judge import open_judge
from mergescope.ground.errors import MergescopeError
from tests.eval.served import Body, Reply, Server, completion, refusal, serving, verdict
from tests.trainer.synthesis.scripted import JUDGE, SECOND, TOXIC, WRITER, Script, server_keys
from trainer.synthesis.answers import Answering
from trainer.synthesis.config import WriterSection
from trainer.synthesis.harmful import HarmfulPair, HarmfulPairs
from trainer.synthesis.prompts import Shot, load_prompts
from trainer.synthesis.questions import Question
from trainer.synthesis.shots import Shots
from trainer.synthesis.writer import Failed, Writer

META = {"risk-area": "甲", "harm-type": "乙", "specific-harm": "丙"}
ANSWERING = Answering(load_prompts("ja"), "ja")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("MAKE_KEY", "canary-key-77")
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(client, "TRIES", 2)
    monkeypatch.setattr(client, "BUSY_TRIES", 3)
    with serving(Server()) as one:
        one.rule = Script()
        yield one


def pairs_at(server: Server, folder: Path, budget: Budget | None = None, **judging: Any) -> HarmfulPairs:
    writer, second = (
        Writer(
            WriterSection.model_validate(server_keys(server.base_url, model)),
            f"the {model}'s server",
            folder / f"{model}.jsonl",
            seed=1,
            tries=2,
            budget=budget,
        )
        for model in (WRITER, SECOND)
    )
    section = OpenAIJudge.model_validate({"kind": "openai", **server_keys(server.base_url, JUDGE), **judging})
    judge = open_judge(section, folder / "judging", budget)
    shots = Shots([("丙", Shot("例", "答え"))], 3, 1)
    return HarmfulPairs(ANSWERING, writer, second, judge, shots, 3)


def questions(count: int) -> list[Question]:
    return [Question("harmful", f"{i}番の質問", META, None, None, None) for i in range(count)]


def made(pairs: HarmfulPairs, count: int) -> dict[str, HarmfulPair | Failed]:
    outcomes = list(pairs.made(questions(count)))
    assert len(outcomes) == count
    return {question.prompt: outcome for question, outcome in outcomes}


def test_the_worst_of_three_is_rejected(server: Server, tmp_path: Path) -> None:
    candidates: dict[str, list[int]] = {}

    def safety(number: int) -> int:
        return 1 + number % 2

    def graded(body: Body) -> Reply | None:
        said = body["messages"][-1]["content"]
        if body["model"] == SECOND:
            number = len(server.requests)
            candidates.setdefault(said, []).append(number)
            return completion(f"はい。{TOXIC}{number}")
        if body["model"] == JUDGE:
            return completion(verdict("harmful", safety=safety(int(said.split(TOXIC)[1].split("\n")[0]))))
        return None

    server.rule = Script(before=graded)
    found = made(pairs_at(server, tmp_path), 6)
    for prompt, pair in found.items():
        assert isinstance(pair, HarmfulPair)
        (numbers,) = (each for said, each in candidates.items() if prompt in said)
        assert pair.rank.safety == safety(int(pair.rejected.value.split(TOXIC)[1])) == min(map(safety, numbers))
        assert (pair.candidates, pair.rank.ranked, pair.shots) == (3, 3, 1)
        assert pair.chosen.value.startswith("お手伝いできません。")
    assert server.rule.asked == {WRITER: 6, SECOND: 18, JUDGE: 18}  # type: ignore[union-attr]
    asked = len(server.requests)
    assert made(pairs_at(server, tmp_path), 6) == found
    assert len(server.requests) == asked


def test_repeats_of_the_judge_are_asked(server: Server, tmp_path: Path) -> None:
    made(pairs_at(server, tmp_path, repeats=2), 2)
    assert server.rule.asked[JUDGE] == 12  # type: ignore[union-attr]


def test_each_failure_has_its_kind_and_costs_no_other_question(server: Server, tmp_path: Path) -> None:
    troubles: dict[tuple[str, str], Reply] = {
        (WRITER, "0番"): refusal(400, "blocked", "content_filter"),
        (WRITER, "1番"): completion(""),
        (SECOND, "2番"): completion("申し訳ありませんが、お答えできません。"),
        (SECOND, "3番"): completion("Here it is."),
        (SECOND, "4番"): refusal(500),
        (JUDGE, "5番"): completion("?"),
        (JUDGE, "6番"): refusal(429, "busy", retry_after="0.01"),
        (JUDGE, "7番"): completion(verdict("harmful", safety=4)),
        (JUDGE, "8番"): completion(None, refusal="no"),
    }

    def troubled(body: Body) -> Reply | None:
        asked = body["messages"][-1]["content"]
        found = (reply for (model, words), reply in troubles.items() if model == body["model"] and words in asked)
        return next(found, None)

    server.rule = Script(before=troubled)
    found = made(pairs_at(server, tmp_path), 10)
    assert {prompt[0]: outcome.fault for prompt, outcome in found.items() if isinstance(outcome, Failed)} == {
        "0": "filter",
        "1": "empty",
        "2": "refused",
        "3": "language",
        "4": "server",
        "5": "parse",
        "6": "server",
        "7": "harmless",
        "8": "refused",
    }

    server.rule = script = Script()
    again = made(pairs_at(server, tmp_path), 10)
    assert sum(isinstance(outcome, HarmfulPair) for outcome in again.values()) == 3  # two were only troubled for now
    assert script.asked == {SECOND: 3, JUDGE: 6}


def test_a_candidate_that_is_missing_for_now_is_waited_for(server: Server, tmp_path: Path) -> None:
    script = Script()

    def once(body: Body) -> Reply | None:
        return refusal(500) if body["model"] == SECOND and script.asked[SECOND] in (3, 4) else None

    script.before = once
    server.rule = script
    found = made(pairs_at(server, tmp_path), 1)
    assert found == {"0番の質問": Failed("server")}
    (pair,) = made(pairs_at(server, tmp_path), 1).values()
    assert isinstance(pair, HarmfulPair)
    assert pair.candidates == 3


def test_a_budget_ends_it_cleanly(server: Server, tmp_path: Path) -> None:
    first = made(pairs_at(server, tmp_path, Budget(Decimal(5000), "tokens")), 20)
    unpaid = [outcome for outcome in first.values() if isinstance(outcome, Failed)]
    assert 0 < len(unpaid) == unpaid.count(Failed("budget"))
    asked = len(server.requests)
    second = made(pairs_at(server, tmp_path), 20)
    assert all(isinstance(outcome, HarmfulPair) for outcome in second.values())
    assert len(server.requests) == 20 * 7 > asked


def test_an_error_of_one_server_stops_them_all(server: Server, tmp_path: Path) -> None:
    server.rule = Script(before=lambda body: refusal(401) if body["model"] == JUDGE else None, latency_s=0.02)
    with pytest.raises(MergescopeError, match="refuses the key"):
        made(pairs_at(server, tmp_path), 200)
    assert len(server.requests) < 400
    server.rule = Script(before=lambda body: refusal(404, "no such model") if body["model"] == SECOND else None)
    with pytest.raises(MergescopeError, match="does not know 'second'"):
        made(pairs_at(server, tmp_path), 20)
