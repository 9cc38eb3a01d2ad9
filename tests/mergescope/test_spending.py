"""A budget on the command line: what it may say, and that a run keeps to it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eval.config import Judge, OpenAIJudge, ProxyJudge
from mergescope.ground.errors import MergescopeError
from mergescope.spending import BudgetLimit, judging_servers, limit_of, servers_budget
from tests.eval.served import Server, serving
from tests.eval.test_budget import of_any_kind
from tests.mergescope.conftest import cli
from tests.mergescope.recipes import changed, own_models
from tests.mergescope.results import count


def llm(**more: Any) -> OpenAIJudge:
    return OpenAIJudge.model_validate({"kind": "openai", "model": "m"} | more)


def price(currency: str = "USD") -> dict[str, str]:
    return {"prompt": "2", "completion": "8", "currency": currency}


def test_what_the_command_line_says() -> None:
    assert limit_of(None, None) is None
    assert limit_of("2.50", None) == BudgetLimit(Decimal("2.5"), tokens=False)
    assert limit_of(None, 0) == BudgetLimit(Decimal(0), tokens=True)


@pytest.mark.parametrize(
    ("amount", "tokens", "line"),
    [
        ("5 USD", None, r"--budget: must be a number \(got '5 USD'\); give an amount such as 2\.50"),
        ("nan", None, "--budget: must be a finite number"),
        ("-1", None, "--budget: must not be negative"),
        ("1", 1, "--budget-tokens: stands beside --budget; give one of the two"),
    ],
)
def test_what_is_no_budget_is_one_line(amount: str, tokens: int | None, line: str) -> None:
    with pytest.raises(MergescopeError, match=line):
        limit_of(amount, tokens)


def test_a_budget_has_the_currency_of_the_prices() -> None:
    judges: list[Judge] = [llm(price=price("JPY")), ProxyJudge(kind="proxy"), llm(price=price("JPY"))]
    budget = servers_budget(judging_servers(judges), BudgetLimit(Decimal(3), tokens=False))
    assert budget is not None
    assert (budget.limit, budget.unit) == (3, "JPY")
    counted = servers_budget([llm()], BudgetLimit(Decimal(3), tokens=True))
    assert counted is not None
    assert counted.unit == "tokens"
    assert servers_budget([llm()], None) is None


@pytest.mark.parametrize(
    ("judges", "line"),
    [
        ([ProxyJudge(kind="proxy")], "--budget: no server that a budget pays is asked; leave it out"),
        ([llm()], "--budget: no server of the recipe has a price; .*--budget-tokens"),
        ([llm(price=price()), llm(price=price("JPY"))], r"--budget: .*not in one currency \(got 'JPY, USD'\)"),
        ([llm(price=price()), llm(model="n")], "n: this model has no price to keep a budget by; .*in USD"),
        ([llm(price=price(), batch=True)], r"--budget: .*charged after the run .*\(got 'm'\)"),
    ],
)
def test_judges_that_keep_no_budget_are_said_before_any_work(judges: list[Judge], line: str) -> None:
    with pytest.raises(MergescopeError, match=line):
        servers_budget(judging_servers(judges), BudgetLimit(Decimal(3), tokens=False))


@pytest.mark.deep
def test_a_run_keeps_to_its_budget_and_the_next_goes_on(own_study: Callable[..., Path], tmp_path: Path) -> None:
    key = {"JUDGE_KEY": "canary-key-29"}
    with serving(Server()) as server:
        server.rule = of_any_kind
        address = {"base_url": server.base_url, "api_key_env": "JUDGE_KEY", "concurrency": 2, "max_tokens": 64}
        judge = {"kind": "openai", "model": "m", **address, "price": price()}
        file = own_study(changed(own_models(), "eval.judges", [judge]))
        stopped = cli("eval", file.name, "--budget", "0.02", cwd=tmp_path, **key)
        assert stopped.returncode == 2
        assert " of the budget of 0.0200 USD are spent, and the next request may take " in stopped.stderr
        asked = len(server.requests)
        assert 0 < asked == count(tmp_path / "results.duckdb", "judgement")
        tokens = cli("eval", file.name, "--budget-tokens", "0", cwd=tmp_path, **key)
        assert (tokens.returncode, len(server.requests)) == (2, asked)
        assert "0 tokens of the budget of 0 tokens are spent" in tokens.stderr
        assert cli("eval", file.name, cwd=tmp_path, **key).returncode == 0
        assert len(server.requests) == count(tmp_path / "results.duckdb", "judgement") > asked
        shown = cli("status", file.name, cwd=tmp_path)
        assert f"{1000 * len(server.requests):,} prompt tokens" in shown.stdout
