"""What judging costs, and a budget that stops it: counted from what the server says, kept to, nothing lost."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eval.chat import client
from eval.chat.budget import Budget, BudgetReachedError
from eval.chat.journal import Journal, Response
from eval.judge import Judgement, Question
from eval.judges.openai import OpenAIScorer
from eval.judges.proxy import ProxyScorer
from eval.prompts import Kind, PromptSet
from eval.records import Group
from eval.store import open_store
from eval.sweep import run_eval
from eval.tally import tally
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import read_json
from mergescope.ground.progress import Reporter
from mergescope.ground.units import amount_text
from tests.eval.served import Body, Reply, Server, completion, refusal, serving, verdict
from tests.eval.served_judge import served_judge
from tests.eval.test_sweep import SAMPLING, STUDY, EchoEngine, jobs

PRICE = {"prompt": "2", "completion": "8"}
USAGE = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
EACH = Decimal("0.0024")
"""What one verdict costs at that price."""
GOOD = completion(verdict("harmful"), usage=USAGE)
Make = Callable[..., OpenAIScorer]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as one:
        yield one


@pytest.fixture
def judge(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("JUDGE_KEY", "canary-key-53")
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)

    def make(budget: Budget | None = None, **changes: Any) -> OpenAIScorer:
        return served_judge(server, tmp_path, budget, **{"price": PRICE, **changes})

    return make


def questions(count: int) -> list[Question]:
    messages = ({"role": "user", "content": "質問です"},)
    return [Question(f"v1_{i:012}", "harmful", messages, "はい。", None, 0) for i in range(count)]


def judged(judge: OpenAIScorer, count: int = 1) -> dict[str, Judgement]:
    return {question.judgement_id: judgement for question, judgement in judge.score(questions(count))}


def one(judge: OpenAIScorer) -> Judgement:
    (found,) = judged(judge).values()
    return found


def took(found: Judgement) -> tuple[object, ...]:
    return found.tokens, found.prompt_tokens, found.completion_tokens, found.cost, found.currency


def test_a_judgement_costs_what_all_its_readings_took(server: Server, judge: Make) -> None:
    server.script = [completion("unreadable", usage=USAGE), GOOD]
    assert took(one(judge())) == (2100, 2000, 100, pytest.approx(0.0048), "USD")
    asked = len(server.requests)
    assert took(one(judge())) == (2100, 2000, 100, pytest.approx(0.0048), "USD")  # from the journal
    assert len(server.requests) == asked


def test_without_a_price_tokens_are_known_and_no_cost(server: Server, judge: Make) -> None:
    server.script = [GOOD]
    assert took(one(judge(price=None))) == (1050, 1000, 50, None, None)


@pytest.mark.parametrize("usage", [None, {}, {"total_tokens": -1, "prompt_tokens": 2**40, "completion_tokens": True}])
def test_what_a_server_does_not_count_is_not_known(server: Server, judge: Make, usage: object) -> None:
    server.script = [completion(verdict("harmful"), usage=usage)]
    assert took(one(judge())) == (None, None, None, None, None)


def test_counts_that_no_store_holds_together_are_not_known(server: Server, judge: Make) -> None:
    most = 2**31 - 1
    usage = {"prompt_tokens": most, "completion_tokens": 0, "total_tokens": most}
    server.script = [completion("unreadable", usage=usage), completion(verdict("harmful"), usage=usage)]
    assert took(one(judge(price=None))) == (None, None, 0, None, None)


def test_thoughts_that_only_the_total_counts_are_paid_for(server: Server, judge: Make) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1300}
    server.script = [completion(verdict("harmful"), usage=usage)]
    assert took(one(judge())) == (1300, 1000, 300, pytest.approx(0.0044), "USD")


def test_another_price_is_the_same_judge(judge: Make) -> None:
    assert judge().setting == judge(price=None).setting == judge(price={**PRICE, "currency": "JPY"}).setting


def test_a_line_of_an_older_journal_still_counts(tmp_path: Path) -> None:
    line = {"key": "k", "text": "x", "finish_reason": "stop", "refusal": None, "model": "m", "version": None,
            "tokens": 15, "generated": 5, "error_kind": None}  # fmt: skip
    (tmp_path / "old.jsonl").write_text(f"\n{json.dumps(line)}", encoding="utf-8")
    (found,) = Journal(tmp_path / "old.jsonl").responses("k")
    assert (found.prompt_tokens, found.completion_tokens, found.structured) == (10, 5, None)
    assert Response("k", tokens=15).prompt_tokens is None


@pytest.mark.parametrize("concurrency", [1, 16])
def test_a_budget_is_kept_and_the_rest_is_left_for_another_run(server: Server, judge: Make, concurrency: int) -> None:
    server.rule = lambda _: Reply(200, GOOD.body, after_s=0.002)
    budget = Budget(Decimal("0.1"), "USD")
    first = judged(judge(budget, concurrency=concurrency, max_tokens=64), 100)
    assert len(first) == len(server.requests)
    assert budget.spent == len(first) * EACH <= budget.limit
    assert budget.refused is not None
    assert budget.spent + budget.refused > budget.limit
    assert len(first) > 30  # what is set aside for a request is given back when it ends
    second = judged(judge(max_tokens=64), 100)
    assert len(second) == len(server.requests) == 100  # each was asked once in the two runs
    assert {name: second[name] for name in first} == first


def test_one_server_s_budget_is_shared_by_all_judges(server: Server, judge: Make) -> None:
    def patient(_: Body) -> Reply:
        """The first judge spends slowly until the other one has come, on a busy machine too."""
        both = {body["model"] for body in server.requests} == {"a", "b"}
        return replace(GOOD, after_s=0.0 if both else 1.5)

    server.rule = patient
    budget = Budget(Decimal("0.1"), "USD")
    asking = [judge(budget, model=name, max_tokens=64, concurrency=2) for name in "ab"]  # neither can hold all of it
    work = [threading.Thread(target=judged, args=(one, 100)) for one in asking]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert budget.spent == len(server.requests) * EACH <= budget.limit
    assert {body["model"] for body in server.requests} == {"a", "b"}


def test_a_budget_in_tokens_needs_no_price(server: Server, judge: Make) -> None:
    server.rule = lambda _: GOOD
    budget = Budget(Decimal(30_000), "tokens")
    found = judged(judge(budget, price=None, max_tokens=64, concurrency=2), 100)
    assert budget.spent == 1050 * len(found) <= 30_000
    assert 20 < len(found) < 100


def test_a_budget_that_no_request_fits_into_asks_nothing(server: Server, judge: Make) -> None:
    budget = Budget(Decimal("0.001"), "USD")
    assert judged(judge(budget), 9) == {}
    assert (server.requests, budget.spent) == ([], 0)


def test_what_is_in_the_journal_is_free(server: Server, judge: Make) -> None:
    server.rule = lambda _: GOOD
    judged(judge(), 30)
    assert len(judged(judge(Budget(Decimal(0), "USD")), 40)) == 30


@pytest.mark.parametrize(
    ("reply", "spent"),
    [
        (completion(verdict("harmful"), usage=None), None),  # all that was held
        (refusal(400, "blocked", "content_filter"), 0),
        (refusal(500), 0),
    ],
)
def test_what_is_booked_where_the_server_counts_nothing(
    server: Server, judge: Make, reply: Reply, spent: int | None
) -> None:
    server.script = [reply]
    budget = Budget(Decimal(1), "USD")
    judged(judge(budget))
    if spent is None:
        longest = len(json.dumps(server.requests[0], ensure_ascii=False).encode())
        assert budget.spent == (2 * longest + 8 * server.requests[0]["max_tokens"]) / Decimal(1_000_000)
    else:
        assert budget.spent == spent
    assert budget.hold(budget.limit - budget.spent)  # nothing is held any more


@pytest.mark.parametrize("usage", [USAGE, None])
def test_a_completion_that_broke_off_is_paid_for(server: Server, judge: Make, usage: object) -> None:
    server.script = [completion("half a ver", "error", usage=usage), GOOD]
    budget = Budget(Decimal(1), "USD")
    assert one(judge(budget)).error_kind is None
    longest = len(json.dumps(server.requests[0], ensure_ascii=False).encode())
    held = (2 * longest + 8 * server.requests[0]["max_tokens"]) / Decimal(1_000_000)
    assert budget.spent == EACH + (EACH if usage else held)


def test_broken_completions_cannot_overdraw_a_budget(server: Server, judge: Make) -> None:
    server.script = [completion("half a ver", "error", usage=USAGE)]
    budget = Budget(Decimal("0.008"), "USD")
    assert judged(judge(budget, max_tokens=64)) == {}
    assert 0 < budget.spent <= budget.limit
    assert budget.refused is not None


def test_a_repair_that_the_budget_does_not_pay_is_left_with_its_question(server: Server, judge: Make) -> None:
    server.script = [completion("unreadable", usage=USAGE), GOOD]
    assert judged(judge(Budget(Decimal("0.008"), "USD"), max_tokens=64)) == {}
    assert len(server.requests) == 1
    assert took(one(judge(max_tokens=64)))[:3] == (2100, 2000, 100)
    assert len(server.requests) == 2


@pytest.mark.parametrize("price", [None, {**PRICE, "currency": "JPY"}])
def test_a_judge_without_a_price_in_the_currency_is_named(judge: Make, price: object) -> None:
    with pytest.raises(
        MergescopeError, match="m: this model has no price to keep a budget by; give its `price` in USD"
    ):
        judge(Budget(Decimal(1), "USD"), price=price)


def test_a_request_waits_for_those_in_flight() -> None:
    budget = Budget(Decimal(10), "USD")
    assert budget.hold(Decimal(6))
    assert not budget.hold(Decimal(6))
    budget.settle(Decimal(6), Decimal(3))
    assert budget.hold(Decimal(6))
    budget.settle(Decimal(6), Decimal(5))
    with pytest.raises(BudgetReachedError):
        budget.hold(Decimal(6))
    with pytest.raises(BudgetReachedError):  # a small one that would fit waits for another run, too
        budget.hold(Decimal(1))
    assert (budget.spent, budget.refused) == (8, 6)


def of_any_kind(body: Body) -> Reply:
    axes = body["response_format"]["json_schema"]["schema"]["properties"]
    kind: Kind = "borderline" if "compliance" in axes else "harmful" if "safety" in axes else "benign"
    return completion(verdict(kind), usage=USAGE)


def test_a_sweep_stops_cleanly_says_so_and_goes_on(
    server: Server, judge: Make, tmp_path: Path, small_set: PromptSet
) -> None:
    server.rule = of_any_kind
    store, said = tmp_path / "results.duckdb", io.StringIO()
    reporter = Reporter(said, tmp_path / "progress.json")
    groups = [Group(EchoEngine, SAMPLING, jobs("0", "1"))]

    def sweep(budget: Budget | None) -> None:
        judges = [judge(budget, max_tokens=64, concurrency=1), ProxyScorer("en")]
        run_eval(store, STUDY, groups, [small_set], judges, reporter, budget=budget)

    line = (
        r"0\.\d{4} USD of the budget of 0\.0250 USD are spent, and the next request may take 0\.\d+ USD; what was "
        r"paid for is stored; run this again with another budget \(judgements left: \d+\)"
    )
    with pytest.raises(MergescopeError, match=line) as caught:
        sweep(Budget(Decimal("0.025"), "USD"))
    with open_store(store, read_only=True) as connection:
        stopped = tally(connection, STUDY.study_id)
        unscored = connection.execute("SELECT max(n_unscored) FROM estimate").fetchall()
    assert stopped.answers == stopped.answers_wanted == 18  # the engine costs nothing of it, nor does the proxy
    left = stopped.judgements_wanted - stopped.judgements
    assert f"(judgements left: {left})" in str(caught.value)
    assert 0 < left < stopped.judgements_wanted / 2
    assert unscored[0][0] > 0
    assert f"{len(server.requests) * EACH:.4f} USD of the budget" in str(caught.value)

    sweep(None)
    assert len(server.requests) == stopped.judgements_wanted / 2
    with open_store(store, read_only=True) as connection:
        whole = tally(connection, STUDY.study_id)
    assert whole.judgements == whole.judgements_wanted
    count = len(server.requests)
    assert whole.used == {
        "prompt tokens": 1000 * count,
        "completion tokens": 50 * count,
        "USD": pytest.approx(float(EACH) * count),
    }
    assert whole.text.endswith(
        f"({1000 * count:,} prompt tokens, {50 * count} completion tokens, {EACH * count:.4f} USD)"
    )
    now = 1050 * left
    assert f"judged: {left}/" in said.getvalue()
    assert f" ({now:,} tokens, {amount_text(EACH * left, 'USD')})" in said.getvalue()
    assert read_json(tmp_path / "progress.json")["beside"]["judged"]["used"]["tokens"] == now


def test_a_sweep_says_that_verdicts_were_asked_for_in_words(
    server: Server, judge: Make, tmp_path: Path, small_set: PromptSet
) -> None:
    def rule(body: Body) -> Reply:
        if "response_format" in body:
            return refusal(400, "no response_format here")
        rules = body["messages"][0]["content"]
        return completion(
            verdict("borderline" if '"compliance": {' in rules else "harmful" if '"safety": {' in rules else "benign")
        )

    server.rule = rule
    store, said = tmp_path / "results.duckdb", io.StringIO()
    groups = [Group(EchoEngine, SAMPLING, jobs("0", "1"))]
    count = run_eval(store, STUDY, groups, [small_set], [judge()], Reporter(said))
    assert count.in_words == count.judgements > 0
    assert f"judged: {count.in_words} verdicts were asked for in words, without a schema" in said.getvalue()
    with open_store(store, read_only=True) as connection:
        outputs = connection.execute("SELECT DISTINCT output, error_kind FROM judgement").fetchall()
        (setting,) = connection.execute("SELECT setting->>'$.output' FROM judge").fetchall()
    assert (outputs, setting) == ([("json", None)], ("json_schema",))
