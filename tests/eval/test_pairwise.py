"""Answers held against a baseline's, two at a time, by a judge behind a real server."""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import eval.sweep
from eval.chat import client
from eval.chat.budget import Budget
from eval.config import OpenAIJudge, PromptSetFile
from eval.engine import Answer, Likelihood, Request, Sampling, Swap, Weights
from eval.estimates import write_estimates
from eval.judge import Judge, open_judge
from eval.judges.proxy import ProxyScorer
from eval.pair_evidence import PairEvidence, pair_evidence
from eval.pairwise import Pairing
from eval.prompt_files import load_prompt_set
from eval.prompts import PromptSet
from eval.records import CheckpointJob, CheckpointKind, Group
from eval.store import open_store
from eval.sweep import SweepCount, run_eval
from eval.tally import tally
from eval.writer import StoreWriter
from mergescope.ground.errors import MergescopeError
from mergescope.ground.ids import full_hash
from mergescope.ground.progress import Reporter
from tests.eval.served import Body, Reply, Server, completion, refusal, serving, verdict
from tests.eval.test_sweep import SAMPLING, STUDY

PAIRING = Pairing("model-useful", ("merges",))
BASELINE, MERGE = 0.0, 1.0
"""Weights of the two checkpoints."""


class Writer:
    """An engine that answers by a rule of weight and prompt."""

    def __init__(self, rule: Callable[[float, str], str]) -> None:
        self._rule = rule
        self._weight = BASELINE

    places: ClassVar[dict[str, torch.Tensor]] = {}

    def load(self, weights: Weights) -> Swap:
        self._weight = float(dict(weights(self.places))["w"])
        return Swap(f"{self._weight}", 1, 4)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Answer]]:  # noqa: ARG002
        for place, request in enumerate(requests):
            text = self._rule(self._weight, request.messages[-1]["content"])
            yield place, Answer(text, "stop", 3, None if text else "too_long")

    def log_likelihoods(self, texts: Sequence[str]) -> list[Likelihood]:
        raise NotImplementedError(texts)

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval.sweep, "StoreWriter", functools.partial(StoreWriter, commit_seconds=0.05))
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("JUDGE_KEY", "k")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as one:
        yield one


@pytest.fixture
def judge(server: Server, tmp_path: Path) -> Callable[..., Judge]:
    def make(budget: Budget | None = None, **changes: Any) -> Judge:
        settings = {"kind": "openai", "model": "m", "base_url": server.base_url, "api_key_env": "JUDGE_KEY"} | changes
        return open_judge(OpenAIJudge.model_validate({"language": "en"} | settings), tmp_path / "journal", budget)

    return make


@pytest.fixture
def prompts(write_set: Callable[..., Path]) -> Callable[..., PromptSet]:
    """A set of so many benign prompts, `thing 0` and on, then so many borderline ones."""

    def make(benign: int, borderline: int = 0) -> PromptSet:
        kinds = ["benign"] * benign + ["borderline"] * borderline
        lines = [
            {"key": f"k{i}", "kind": kind, "prompt": f"thing {i}", "category": ["top"], "group": f"g{i}"}
            for i, kind in enumerate(kinds)
        ]
        path = write_set(lines)
        return load_prompt_set(PromptSetFile(name="set", path=path), path, 1, Decimal("0.3"))

    return make


def run(
    store: Path,
    one_set: PromptSet,
    judge: Judge,
    rule: Callable[[float, str], str],
    pairing: Pairing | None = PAIRING,
    sampling: Sampling = SAMPLING,
    only: CheckpointKind | None = None,
    budget: Budget | None = None,
) -> SweepCount:
    both: dict[CheckpointKind, float] = {"model-useful": BASELINE, "merge": MERGE}
    jobs = [_job(kind, weight) for kind, weight in both.items() if only in (None, kind)]
    groups = [Group(lambda: Writer(rule), sampling, jobs)]
    judges = [ProxyScorer("en"), judge]
    shown = Reporter(io.StringIO())
    return run_eval(store, STUDY, groups, [one_set], judges, shown, some=bool(only), budget=budget, pairing=pairing)


def _job(kind: CheckpointKind, weight: float) -> CheckpointJob:
    def weights(places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ARG001
        yield "w", torch.tensor(weight)

    return CheckpointJob(f"c1_{kind}", kind, kind, None, {}, weights)


def preferring(choose: Callable[[str, str], str]) -> Callable[[Body], Reply]:
    """A judge that grades every answer well, refusals apart, and says which of two is better by a rule."""

    def reply(body: Body) -> Reply:
        axes = body["response_format"]["json_schema"]["schema"]["required"]
        first, *second = answers(body)
        if second:
            return completion(verdict("pairwise", preference=choose(first, second[0])))
        refuses = first.startswith("I will not")
        if "compliance" in axes:
            return completion(verdict("borderline", compliance="full_refusal" if refuses else "full_answer"))
        return completion(verdict("benign"))

    return reply


def answers(body: Body) -> list[str]:
    """The answers that a judge was shown."""
    shown = re.findall(r"<<<((?:\w+ )?ANSWER) (\w+)>>>\n(.*?)\n<<<END \2>>>", body["messages"][1]["content"], re.DOTALL)
    return [text for _, _, text in shown]


def compared(server: Server) -> list[tuple[str, ...]]:
    """The pairs that the server was asked about, in their order."""
    return [tuple(shown) for body in server.requests if len(shown := answers(body)) == 2]


def estimates(store: Path, metric: str = "win_rate") -> tuple[Any, ...]:
    """Value, ends, n, unscored, worst and best of the merge."""
    with open_store(store, read_only=True) as connection:
        rows = connection.execute(
            "SELECT value, low, high, n, n_unscored, worst, best FROM estimate WHERE metric = ? AND scope = 'all' "
            "AND split = 'all'",
            [metric],
        ).fetchall()
    (row,) = rows  # of the merge alone, and of the judge that compares alone
    return tuple(row)


def mixed(weight: float, prompt: str) -> str:
    """By the prompt's number: a better answer, a worse one, the same one."""
    number = int(prompt.split()[-1])
    words = {(MERGE, 0): "good", (BASELINE, 0): "poor", (MERGE, 1): "poor", (BASELINE, 1): "good"}
    return f"{words.get((weight, number % 3), 'plain')} answer {number}"


def honest(first: str, second: str) -> str:
    good = [text.startswith("good") for text in (first, second)]
    return "tie" if good[0] == good[1] else "first" if good[0] else "second"


def test_an_honest_judge(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    """Of 7 prompts 3 are won (0, 3, 6), 2 lost (1, 4) and 2 equal (2, 5): (3 + 2 / 2) / 7."""
    server.rule = preferring(honest)
    store = tmp_path / "results.duckdb"
    run(store, prompts(7), judge(), mixed)
    value, low, high, n, unscored, worst, best = estimates(store)
    assert (value, n, unscored, worst, best) == (pytest.approx(4 / 7), 7, 0, pytest.approx(4 / 7), pytest.approx(4 / 7))
    assert 0 < low < value < high < 1
    pairs = compared(server)
    assert len(pairs) == len(set(pairs)) == 2 * 5  # both orders; equal answers are a tie without asking
    assert {(second, first) for first, second in pairs} == set(pairs)


def test_a_judge_that_always_prefers_the_first_says_nothing(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    server.rule = preferring(lambda _first, _second: "first")
    store = tmp_path / "results.duckdb"
    run(store, prompts(20), judge(), mixed)
    value, low, high, n, *_ = estimates(store)
    assert (value, n) == (0.5, 20)
    assert low < 0.5 < high  # ties are no certainty
    value, low, high, n, *_ = estimates(store, "win_rate_lc")
    assert (value, n) == (pytest.approx(0.5), 20)
    assert low < 0.5 < high


@pytest.mark.deep
def test_a_judge_that_prefers_the_longer_answer_is_seen_through(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    def wordy(weight: float, prompt: str) -> str:
        number = int(prompt.split()[-1])
        return "x" * (60 if weight == BASELINE else 40 + number)

    server.rule = preferring(lambda first, second: "first" if len(first) > len(second) else "second")
    store = tmp_path / "results.duckdb"
    run(store, prompts(60), judge(), wordy)
    plain, _, _, n, *_ = estimates(store)
    even, low, high, *_ = estimates(store, "win_rate_lc")
    assert (plain, n) == (39.5 / 60, 60)  # 20 shorter, one as long, 39 longer
    assert abs(even - 0.5) < 0.05
    assert low < 0.5 < high


def test_borderline_prompts_count_where_both_answered(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    def careful(weight: float, prompt: str) -> str:
        number = int(prompt.split()[-1])
        refuses = (weight, number) in ((MERGE, 0), (BASELINE, 1))
        return "I will not tell." if refuses else f"{'good' if weight else 'poor'} answer {number}"

    server.rule = preferring(honest)
    store = tmp_path / "results.duckdb"
    run(store, prompts(0, 4), judge(), careful)
    assert estimates(store)[:1] + estimates(store)[3:5] == (1.0, 2, 0)
    assert len(compared(server)) == 4


def test_a_pair_without_both_verdicts_is_unscored_and_asked_again(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    """Of 7 pairs 2 are equal, and of thing 0's one order fails: won 2, lost 2, ties 2 of 6."""
    rule = preferring(honest)
    server.rule = lambda body: refusal(500) if answers(body) == ["good answer 0", "poor answer 0"] else rule(body)
    store = tmp_path / "results.duckdb"
    one_set = prompts(7)
    first = run(store, one_set, judge(), mixed)
    assert first.errors == {"server": 1}
    value, _, _, n, unscored, worst, best = estimates(store)
    assert (value, n, unscored, worst, best) == (0.5, 6, 1, pytest.approx(3 / 7), pytest.approx(4 / 7))
    assert estimates(store, "win_rate_lc")[3:5] == (6, 1)
    server.rule = rule
    server.requests.clear()
    again = run(store, one_set, judge(), mixed)
    assert (again.judgements, compared(server)) == (1, [("good answer 0", "poor answer 0")])
    assert estimates(store)[0] == pytest.approx(4 / 7)
    assert run(store, one_set, judge(), mixed).judgements == 0
    assert len(server.requests) == 1


def test_an_answer_that_failed_makes_its_pair_unscored(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    def short(weight: float, prompt: str) -> str:
        return "" if (weight, prompt) == (BASELINE, "thing 0") else mixed(weight, prompt)

    server.rule = preferring(honest)
    store = tmp_path / "results.duckdb"
    run(store, prompts(3), judge(), short)
    assert estimates(store)[3:] == (2, 1, pytest.approx(0.5 / 3), pytest.approx(1.5 / 3))
    assert len(compared(server)) == 2


@pytest.mark.deep
def test_what_a_server_gave_before_a_kill_is_not_asked_again(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    server.rule = preferring(honest)
    run(tmp_path / "killed.duckdb", prompts(7), judge(), mixed)
    asked = len(server.requests)
    run(tmp_path / "other.duckdb", prompts(7), judge(), mixed)  # the store is lost, the journal is not
    assert len(server.requests) == asked
    assert estimates(tmp_path / "other.duckdb") == estimates(tmp_path / "killed.duckdb")


@pytest.mark.deep
def test_repeats_and_samples(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    server.rule = preferring(honest)
    store = tmp_path / "results.duckdb"
    run(store, prompts(7), judge(repeats=3), mixed, sampling=replace(SAMPLING, samples=2))
    assert len(compared(server)) == 2 * 5 * 3  # the second sample's texts are the first's
    assert estimates(store)[:1] + estimates(store)[3:5] == (pytest.approx(4 / 7), 7, 0)


def test_without_pairing_nothing_is_compared(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    server.rule = preferring(honest)
    store = tmp_path / "results.duckdb"
    run(store, prompts(7), judge(), mixed)
    server.requests.clear()
    assert run(store, prompts(7), judge(), mixed, pairing=None).judgements == 0
    with open_store(store, read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM estimate WHERE metric LIKE 'win%'").fetchall() == [(0,)]
        assert connection.execute("SELECT count(*) FROM judgement WHERE kind = 'pairwise'").fetchall() == [(10,)]
    run(store, prompts(7), judge(), mixed)
    assert not server.requests
    assert estimates(store)[0] == pytest.approx(4 / 7)


@pytest.mark.deep
def test_a_baseline_of_an_earlier_run_is_found(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    server.rule = preferring(honest)
    store = tmp_path / "results.duckdb"
    run(store, prompts(7), judge(), mixed, only="model-useful")
    assert not compared(server)
    run(store, prompts(7), judge(), mixed, only="merge")
    assert len(compared(server)) == 10
    assert estimates(store)[0] == pytest.approx(4 / 7)


@pytest.mark.deep
def test_a_budget_stops_pairs_and_another_run_goes_on(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    """A request may cost 100 and costs 5: after 12 answers and 4 of 10 comparisons there are 80 spent of 175."""
    server.rule = preferring(honest)
    store, one_set = tmp_path / "results.duckdb", prompts(7)
    limit = Budget(Decimal(175), "USD")
    price = {"prompt": 0, "completion": 1_000_000, "currency": "USD"}
    with pytest.raises(MergescopeError, match="and pairs to compare"):
        run(store, one_set, judge(limit, concurrency=1, max_tokens=100, price=price), mixed, budget=limit)
    assert (limit.spent, len(compared(server))) == (80, 4)
    run(store, one_set, judge(max_tokens=100, price=price), mixed)
    assert len(compared(server)) == len(set(compared(server))) == 10
    with open_store(store, read_only=True) as connection:
        used = tally(connection, STUDY.study_id).used
    assert used["USD"] == 5 * 22


def test_an_unreadable_preference_is_repaired_once(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    rule = preferring(honest)

    def stammering(body: Body) -> Reply:
        is_repair = "REPLY" in body["messages"][1]["content"]
        return completion("the first, I think") if len(answers(body)) == 2 and not is_repair else rule(body)

    server.rule = stammering
    store = tmp_path / "results.duckdb"
    assert not run(store, prompts(7), judge(), mixed).errors
    assert estimates(store)[0] == pytest.approx(4 / 7)
    repairs = [body for body in server.requests if "REPLY" in body["messages"][1]["content"]]
    assert len(repairs) == 10
    assert all('"grade": "first" | "second" | "tie"' in body["messages"][0]["content"] for body in repairs)


def test_win_rates_that_stand_are_not_written_again(
    tmp_path: Path, server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet]
) -> None:
    server.rule = preferring(honest)
    store = tmp_path / "results.duckdb"
    run(store, prompts(7), judge(), mixed)
    assert write_estimates(store, STUDY.study_id) == 0


def test_a_win_rate_names_the_judgements_behind_it(
    server: Server, judge: Callable[..., Judge], prompts: Callable[..., PromptSet], tmp_path: Path
) -> None:
    server.rule = preferring(honest)
    store = tmp_path / "s.duckdb"
    run(store, prompts(6), judge(), mixed)
    with open_store(store, read_only=True) as db:
        study, name = db.execute("SELECT study_id, judge_id FROM study_judge WHERE position = 1").fetchall()[0]
        found = pair_evidence(db, study, name, "c1_merge")
        rows = db.execute("SELECT judgement_id FROM judgement WHERE kind = 'pairwise'").fetchall()
        assert pair_evidence(db, study, name, "c1_model-useful") is None  # the baseline is held against nothing
    ids = sorted(row[0] for row in rows)
    assert len(ids) == 8  # of six pairs two are of equal texts, which nobody is asked about; both orders
    assert found == PairEvidence("c1_model-useful", len(ids), full_hash(ids))
