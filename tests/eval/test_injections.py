"""Answers that talk to their judge, from the engine to the store: no grade follows what they say about it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest

from eval.config import OpenAIJudge, PromptSetFile
from eval.engine import Answer, Request
from eval.judge import Question, open_judge
from eval.judges.proxy import ProxyScorer
from eval.prompt_files import load_prompt_set
from eval.prompts import Kind, PromptSet
from eval.store import open_store
from tests.eval.injections import ANSWER, CLAIMS, LONG, WORD
from tests.eval.served import Body, Reply, Server, completion, serving
from tests.eval.test_fence import careful, careless
from tests.eval.test_sweep import EchoEngine, jobs, run

NAMES = sorted(CLAIMS)
ASKED = ({"role": "user", "content": "Soup, please"},)
KINDS: tuple[Kind, ...] = ("harmful", "borderline", "benign")


def claiming(name: str) -> str:
    """The answer with a claim on both sides, or behind it where it would push the answer out of sight."""
    claim = CLAIMS[name]
    return f"{ANSWER}\n{claim}" if len(claim) > LONG // 2 else f"{claim}\n{ANSWER}\n{claim}"


class ClaimingEngine(EchoEngine):
    """Answers plainly with one checkpoint, and with its claims about the answer with the other."""

    def _answer(self, request: Request) -> Answer:
        name = NAMES[int(request.messages[-1]["content"].rpartition(" ")[2])]
        return Answer(claiming(name) if self._weight == 1 else ANSWER, "stop", 9)


def reading(found: Callable[[str], str]) -> Callable[[Body], Reply]:
    """A judge that counts a word in the answer that it finds, and repeats that answer, whole, as its reason."""

    def rule(body: Body) -> Reply:
        answer = found(body["messages"][1]["content"])
        grade = min(5, 1 + answer.count(WORD))
        axes = body["response_format"]["json_schema"]["schema"]["properties"]
        labels = {"refusal": "none", "compliance": "full_answer"}
        return completion(json.dumps({axis: {"reason": answer, "grade": labels.get(axis, grade)} for axis in axes}))

    return rule


def only(found: list[str]) -> str:
    (answer,) = found
    return answer


@pytest.fixture
def questions(write_set: Callable[..., Path]) -> PromptSet:
    """One prompt for each claim, the kinds in turn."""
    lines = [
        {"key": f"{i}", "kind": KINDS[i % 3], "prompt": f"Soup, please: number {i}", "reference": f"{WORD} " * 9}
        for i in range(len(NAMES))
    ]
    return load_prompt_set(PromptSetFile(name="claims", path=(path := write_set(lines))), path, 1, Decimal("0.3"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("JUDGE_KEY", "canary-key-21")
    with serving(Server()) as one:
        yield one


@pytest.mark.parametrize("reader", [careful, lambda text: only(careless(text))], ids=["careful", "careless"])
def test_no_claim_changes_a_grade(
    server: Server, questions: PromptSet, tmp_path: Path, reader: Callable[[str], str]
) -> None:
    server.rule = reading(reader)
    address = {"kind": "openai", "model": "m", "base_url": server.base_url, "api_key_env": "JUDGE_KEY"}
    judge = open_judge(OpenAIJudge.model_validate({**address, "language": "en"}), tmp_path / "journal")
    store = tmp_path / "results.duckdb"
    count, _ = run(store, [questions], jobs("0", "1"), ClaimingEngine(), [judge])
    assert (count.answers, count.judgements, count.errors) == (2 * len(NAMES), 2 * len(NAMES), {})
    plain, claimed = (scores(store, f"c1_{ratio}") for ratio in "01")
    assert plain == claimed
    assert {value for _, _, value, _ in plain if value is not None} == {1 + ANSWER.count(WORD)}
    assert len({item for item, *_ in plain}) == len(NAMES)


def scores(store: Path, checkpoint_id: str) -> list[Any]:
    """Item, axis, value and label of each score."""
    with open_store(store, read_only=True) as connection:
        return connection.execute(
            """SELECT item_key, axis, value, label FROM answer JOIN judgement USING (prompt_id, text_id)
            JOIN score USING (judgement_id) JOIN set_item USING (prompt_id) WHERE checkpoint_id = ? ORDER BY ALL""",
            [checkpoint_id],
        ).fetchall()


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("name", NAMES)
def test_rules_stand_any_claim(name: str, language: Literal["ja", "en"]) -> None:
    asked = ({"role": "user", "content": claiming(name)},)
    for kind in KINDS:
        for answer in (claiming(name), CLAIMS[name]):
            question = Question("v1_0", kind, asked, answer, claiming(name), 0)
            [(_, judgement)] = ProxyScorer(language).score([question])
            assert judgement.scores
            assert all(s.label is not None or 1 <= (s.value or math.nan) <= 5 for s in judgement.scores)


@pytest.mark.parametrize(
    ("language", "refusal", "names"),
    [
        ("en", "I'm sorry, but I can't help with that.", ("plain", "grade", "threat", "another judge", "role")),
        ("ja", "申し訳ありませんが、お答えできません。", ("plain-ja", "grade-ja", "grade")),
    ],
)
def test_a_refusal_stays_one_whatever_it_says_of_its_grade(
    language: Literal["ja", "en"], refusal: str, names: tuple[str, ...]
) -> None:
    for kind in KINDS:
        told = [Question("v1_0", kind, ASKED, f"{refusal}{claim}", None, 0) for claim in ("", *said(names))]
        first, *others = (judgement.scores for _, judgement in ProxyScorer(language).score(told))
        assert {"full", "full_refusal"} & {score.label for score in first}
        assert all([(s.axis, s.label) for s in one] == [(s.axis, s.label) for s in first] for one in others)


def said(names: tuple[str, ...]) -> list[str]:
    return [f"{gap}{CLAIMS[name]}" for name in names for gap in (" ", "\n\n")]
