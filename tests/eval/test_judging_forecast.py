"""The very most that judging takes: what a judge meets whose verdicts nobody can read, each as long as it may show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.config import OpenAIJudge
from eval.judge import Question
from eval.judges.rubric import REPLY_SHOWN, load_rubric
from eval.judging_forecast import LONGEST_CHARACTER, Coming, forecast, pair_forecast, repair_bytes, unread
from eval.outstanding import JudgeState
from eval.prompt_length import BYTES_PER_TOKEN
from eval.prompts import Item, Kind
from tests.eval.served import Body, Server, completion, serving
from tests.eval.served_judge import served_judge

ANSWER = "答え。" * 100
PRICE = {"prompt": "2", "completion": "8"}
SECTION = OpenAIJudge.model_validate({"kind": "openai", "model": "m", "max_tokens": 700, "repeats": 2, "price": PRICE})
RUBRIC = load_rubric("ja")


def item(kind: Kind) -> Item:
    messages = ({"role": "user", "content": f"{kind}の質問です。"},)
    return Item(kind, kind, messages, (kind,), kind, "select", "手本です。", None)


def sent(body: Body) -> int:
    """Bytes of a request's texts, as the forecast counts them."""
    texts = sum(len(message["content"].encode()) for message in body["messages"])
    return texts + len(json.dumps(body["response_format"]["json_schema"]["schema"]))


def met(folder: Path, questions: list[Question]) -> list[Body]:
    """The requests that a server gets which says nothing that can be read."""
    with serving(Server()) as server:
        server.script = [completion(LONGEST_CHARACTER * (REPLY_SHOWN + 9))]
        found = list(served_judge(server, folder, max_tokens=SECTION.max_tokens).score(questions))
        assert {judgement.error_kind for _, judgement in found} == {"parse"}
        return server.requests


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "canary-key-71")


@pytest.mark.parametrize("kind", ["harmful", "borderline", "benign"])
def test_no_verdict_that_can_be_read_is_the_most(tmp_path: Path, kind: Kind) -> None:
    one = item(kind)
    coming = Coming(answers=[3], bytes=[len(ANSWER.encode())], distinct=None, often=[0], judge_repeats=1)
    once, _, _ = forecast(SECTION, RUBRIC, [one], JudgeState(0, {}, []), coming)
    most = unread(SECTION, once, repair_bytes(RUBRIC, kind))
    bodies = met(
        tmp_path,
        [Question(f"v1_{i:032}", kind, one.messages, ANSWER, one.reference, i % SECTION.repeats) for i in range(6)],
    )
    assert most.questions == len(bodies) == 12
    assert most.prompt_tokens == pytest.approx(sum(map(sent, bodies)) / BYTES_PER_TOKEN, rel=1e-3)
    assert most.completion_tokens == sum(body["max_tokens"] for body in bodies) == 12 * 700
    assert most.cost == pytest.approx((most.prompt_tokens * 2 + most.completion_tokens * 8) / 1e6)


def test_the_most_of_comparing(tmp_path: Path) -> None:
    """One pair, both orders, two repeats, each asked for twice."""
    one = item("benign")
    once = pair_forecast(SECTION, RUBRIC, [one], 1, 0, len(ANSWER.encode()))
    most = unread(SECTION, once, repair_bytes(RUBRIC, "benign", pair=True))
    asked = [Question(f"v1_{i:032}", "benign", one.messages, ANSWER, None, i // 2, ANSWER) for i in range(4)]
    bodies = met(tmp_path, asked)
    assert most.questions == len(bodies) == 8
    assert most.prompt_tokens == pytest.approx(sum(map(sent, bodies)) / BYTES_PER_TOKEN, rel=0.02)
    assert most.completion_tokens == 8 * 700


def test_nothing_to_ask_takes_nothing() -> None:
    nothing = pair_forecast(SECTION, RUBRIC, [], 0, 0, 0.0)
    assert unread(SECTION, nothing, 9_999) == nothing
