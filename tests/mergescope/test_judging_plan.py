"""The forecast of judging: what it counts is what a run then asks, and nothing is done for it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval.chat import batch_server
from eval.judging_forecast import LATENCY_S
from eval.prompt_length import BYTES_PER_TOKEN
from eval.store import open_store
from mergescope.ground.errors import MergescopeError
from mergescope.ground.progress import Reporter
from mergescope.judging_plan import judging_plan
from mergescope.judging_plan_records import JudgingPlan
from mergescope.judging_plan_text import judging_plan_lines, show_judging_plan
from mergescope.study import load_study
from mergescope.sweep import sweep
from tests.eval.batch_server import BatchServer
from tests.eval.served import Body, Reply, Server, completion, serving, verdict
from tests.mergescope.conftest import cli, prompt_lines, write_lines
from tests.mergescope.recipes import changed, demo, own_models, written
from tests.mergescope.test_plan import COLUMNS, tree

Make = Callable[..., Path]
JUDGE = {"kind": "openai", "model": "m", "base_url": "https://judge.example/v1", "api_key_env": "JUDGE_KEY"}
PRICE = {"prompt": 2.5, "completion": 10, "currency": "EUR"}
PROMPTS, CHECKPOINTS = 6, 6
"""Of the small study: 3 ratios and 3 references."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("JUDGE_KEY", "canary-key-31")
    monkeypatch.setattr(batch_server, "POLL_S", 0.05)
    one = BatchServer()
    one.rule = _verdict
    with serving(one):
        yield one


def _verdict(body: Body) -> Reply:
    axes = list(body["response_format"]["json_schema"]["schema"]["properties"])
    if axes == ["preference"]:
        return completion(verdict("pairwise", preference="first"))
    return completion(
        verdict("harmful" if axes == ["safety", "refusal"] else "borderline" if "compliance" in axes else "benign")
    )


def plan_of(file: Path, *only: str) -> JudgingPlan:
    return judging_plan(load_study(file), file.parent / "results.duckdb", only)


def text_of(plan: JudgingPlan) -> str:
    return "\n".join(judging_plan_lines(plan))


def with_judges(folder: Path, *judges: dict[str, Any], **changes: Any) -> Path:
    raw = yaml.safe_load((folder / "recipe.yaml").read_text(encoding="utf-8"))
    raw["eval"]["judges"] = [*judges, {"kind": "proxy", "language": "ja"}]
    for path, value in changes.items():
        changed(raw, path.replace("__", "."), value)
    return written(folder, raw)


def prompts_only(folder: Path, **changes: Any) -> Path:
    write_lines(folder / "prompts.jsonl", prompt_lines())
    written(folder, own_models())
    return with_judges(folder, {**JUDGE, **changes})


def test_before_any_run_every_answer_counts_as_its_own(tmp_path: Path) -> None:
    before = tree(tmp_path)
    file = prompts_only(tmp_path, repeats=3, price=PRICE, concurrency=4)
    before = tree(tmp_path)
    done = cli("eval", file, "--plan", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert tree(tmp_path) == before  # no store, no folder, no journal; and no key was needed
    assert max(map(len, done.stdout.splitlines())) <= COLUMNS
    (judge,) = plan_of(file).judges
    assert judge.at_most.questions == PROMPTS * CHECKPOINTS * 3
    assert judge.expected is None
    assert judge.at_most.cost == pytest.approx(
        (judge.at_most.prompt_tokens * 2.5 + judge.at_most.completion_tokens * 10) / 1e6, rel=1e-3
    )
    assert judge.at_most.hours == pytest.approx(108 * LATENCY_S / 4 / 3600)
    for promised in (
        "36 wanted, 0 there",
        "m at https://judge.example, 3 judgements an answer: 0 judgements there",
        f"EUR {judge.at_most.cost:.2f}",
        "proxy: on this machine, no requests",
        "https://judge.example; a run asks you first",
        f"{BYTES_PER_TOKEN} bytes of UTF-8 a token (its tokenizer is not known)",
        f"{LATENCY_S:g} s a request (assumed)",
    ):
        assert promised in " ".join(done.stdout.split()), promised


def test_the_real_rubric_is_counted(tmp_path: Path) -> None:
    file = prompts_only(tmp_path)
    short = plan_of(file).judges[0].at_most
    (tmp_path / "prompts.jsonl").write_text(
        (tmp_path / "prompts.jsonl")
        .read_text(encoding="utf-8")
        .replace("分かりません。", "分かりません。" + "あ" * 400),
        encoding="utf-8",
    )
    longer = plan_of(file).judges[0].at_most
    more = CHECKPOINTS * PROMPTS * 400 * len("あ".encode()) / BYTES_PER_TOKEN
    assert longer.prompt_tokens - short.prompt_tokens == pytest.approx(more, abs=1)
    english = plan_of(prompts_only(tmp_path, language="en")).judges[0].at_most
    assert english.prompt_tokens != longer.prompt_tokens


@pytest.mark.deep
@pytest.mark.parametrize("batch", [False, True])
def test_pairs_are_forecast_and_asked_once(copied: Path, server: Server, batch: bool) -> None:
    pairwise = {"baseline": "model-useful", "checkpoints": ["merges", "base"]}
    judge = {**JUDGE, "base_url": server.base_url, "batch": batch, "price": PRICE}
    file = with_judges(copied, judge, eval__pairwise=pairwise)
    (before,) = plan_of(file).judges
    assert before.pairs is not None
    compared = sum(line["kind"] in ("benign", "borderline") for line in prompt_lines())
    assert before.pairs.questions == 4 * compared * 2  # 3 merges and the base, both orders
    assert "pairs, at most" in text_of(plan_of(file))
    (host,) = plan_of(file).hosts
    assert host.requests == 2 * (
        before.at_most.questions + before.pairs.questions
    )  # once more where a verdict cannot be read
    assert host.cost["EUR"] == pytest.approx(sum(amount.cost or 0 for amount in before.most))
    sweep(load_study(file), copied / "results.duckdb", Reporter(io.StringIO()))
    asked = len(server.requests) - before.at_most.questions
    assert 0 < asked <= before.pairs.questions
    (after,) = plan_of(file).judges
    assert after.pairs is not None
    assert after.pairs.questions == before.pairs.questions - asked
    sweep(load_study(file), copied / "results.duckdb", Reporter(io.StringIO()))
    assert len(server.requests) == asked + before.at_most.questions
    with open_store(copied / "results.duckdb", read_only=True) as store:
        rows = store.execute(
            "SELECT DISTINCT value FROM estimate WHERE metric = 'win_rate' AND scope = 'all' AND split = 'all'"
        ).fetchall()
    assert rows == [(0.5,)]  # it always prefers the first


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.deep
def test_what_a_run_asks_is_what_was_forecast(copied: Path, server: Server, batch: bool) -> None:
    file = with_judges(copied, {**JUDGE, "base_url": server.base_url, "repeats": 2, "batch": batch})
    before = plan_of(file)
    assert before.answers is not None
    assert (before.answers.wanted, before.answers.there) == (36, 36)
    (judge,) = before.judges
    assert judge.made == 0
    assert judge.expected == judge.at_most  # nothing is to come
    sweep(load_study(file), copied / "results.duckdb", Reporter(io.StringIO()))
    assert len(server.requests) == judge.at_most.questions > 0
    (after,) = plan_of(file).judges
    assert (after.made, after.at_most.questions) == (judge.at_most.questions, 0)
    assert after.lengths.judgements == min(200, after.made)
    seen = sum(len(message["content"].encode()) for body in server.requests for message in body["messages"])
    schemas = sum(len(json.dumps(b["response_format"]["json_schema"]["schema"])) for b in server.requests)
    said = sum(len(_verdict(body).body["choices"][0]["message"]["content"].encode()) for body in server.requests)  # type: ignore[index]
    assert after.lengths.bytes_per_token == pytest.approx(
        (seen + schemas + said) / (15 * len(server.requests)), rel=0.01
    )
    assert f"measured on {after.made} judgements of it" in " ".join(text_of(plan_of(file)).split())
    (host,) = plan_of(file).hosts
    assert not host.leaves
    more = with_judges(copied, {**JUDGE, "base_url": server.base_url, "repeats": 3})
    assert plan_of(more).judges[0].at_most.questions == judge.at_most.questions / 2  # the third ones


def test_a_model_s_name_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = prompts_only(tmp_path, model="m\x1b[2J")
    show_judging_plan(file, tmp_path / "results.duckdb", (), as_json=False)
    told = capsys.readouterr().out
    assert "m\\x1b[2J at https://judge.example" in told
    assert "\x1b" not in told


@pytest.mark.parametrize("currency", ["tokens", "\x1b[31mEUR", "usd", ""])
def test_a_currency_is_a_code(tmp_path: Path, currency: str) -> None:
    with pytest.raises(MergescopeError, match="currency"):
        load_study(prompts_only(tmp_path, price={**PRICE, "currency": currency}))


def test_another_setting_is_another_judge_that_has_asked_nothing(copied: Path, server: Server) -> None:
    file = with_judges(copied, judge := {**JUDGE, "base_url": server.base_url})
    sweep(load_study(file), copied / "results.duckdb", Reporter(io.StringIO()))
    made = plan_of(file).judges[0].made
    assert made > 0
    for change in ({"max_tokens": 999}, {"output": "json"}, {"language": "en"}, {"temperature": "0.5"}):
        (other,) = plan_of(with_judges(copied, {**judge, **change})).judges
        assert (other.made, other.at_most.questions) == (0, made)
    (same,) = plan_of(with_judges(copied, {**judge, "batch": True, "concurrency": 3})).judges
    assert (same.made, same.at_most.questions) == (made, 0)


def test_further_ratios_are_expected_to_repeat_as_many_texts(copied: Path) -> None:
    file = with_judges(copied, JUDGE, merge__ratios=[0, 0.25, 0.5, 1])
    found = plan_of(file)
    assert found.answers is not None
    assert (found.answers.wanted, found.answers.there) == (42, 36)
    (judge,) = found.judges
    assert judge.expected is not None
    there = judge.at_most.questions - PROMPTS  # of the answers that are there
    share = found.answers.distinct or 0
    assert share == pytest.approx(there / 36)
    assert judge.expected.questions == round(there + PROMPTS * share)


@pytest.mark.parametrize(
    ("path", "value"),
    [("eval__sampling", {"max_tokens": 9}), ("merge__mask_seeds", [5]), ("eval__engine__dtype", "bfloat16")],
)
def test_answers_of_another_setting_do_not_count(copied: Path, path: str, value: object) -> None:
    found = plan_of(with_judges(copied, JUDGE, **{path: value})).answers
    assert found is not None
    assert found.there == (18 if path == "merge__mask_seeds" else 0)


def test_only_what_is_asked_is_counted(copied: Path) -> None:
    found = plan_of(with_judges(copied, JUDGE, merge__ratios=[0, 0.5, 0.75, 1]), "base", "merges")
    assert found.answers is not None
    assert (found.answers.checkpoints, found.answers.wanted, found.answers.there) == (5, 30, 24)
    with pytest.raises(MergescopeError, match="--only: no such checkpoint"):
        plan_of(copied / "recipe.yaml", "nobody")


def test_a_served_model_is_asked_each_turn(tmp_path: Path) -> None:
    write_lines(tmp_path / "prompts.jsonl", prompt_lines())
    raw = own_models()
    served = {"kind": "served", "name": "rival", "model": "m", "base_url": "https://rival.example:8000/v1"}
    raw["eval"]["checkpoints"] = [served]
    raw["eval"]["sets"][0]["wrappers"] = ["persistence"]  # a second turn
    found = plan_of(written(tmp_path, raw))
    (rival,) = found.served
    assert rival.requests == PROMPTS + 2 * 2 + 1
    assert found.judges == ()
    (host,) = found.hosts
    assert (host.host, host.requests, host.unpriced) == ("https://rival.example:8000", rival.requests, ("rival",))
    assert "rival: at most 11 requests" in text_of(found)


def test_batches_take_a_day(tmp_path: Path) -> None:
    found = plan_of(prompts_only(tmp_path, batch=True))
    assert found.judges[0].at_most.hours == 24
    assert "in batches" in text_of(found)


def test_prompts_that_are_not_there(tmp_path: Path) -> None:
    file = prompts_only(tmp_path)
    (tmp_path / "prompts.jsonl").unlink()
    done = cli("eval", file, "--plan", "--json", cwd=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["refusals"] == done.stderr.splitlines() != []
    waiting = plan_of(written(tmp_path, demo()))
    assert waiting.refusals == ()
    assert "the prompts are not written yet" in text_of(waiting)


def test_no_torch_is_loaded(tmp_path: Path) -> None:
    file = prompts_only(tmp_path)
    probe = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr))\n"
        "from mergescope.cli import main\n"
        f"sys.argv = ['mergescope', 'eval', {str(file)!r}, '--plan']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "False"
    assert "Plan of judging the study" in done.stdout


def test_json_wants_a_plan(tmp_path: Path) -> None:
    done = cli("eval", prompts_only(tmp_path), "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "--json: belongs to --plan; add --plan, or leave it out\n")


def test_a_budget_is_for_runs(tmp_path: Path) -> None:
    done = cli("eval", prompts_only(tmp_path), "--plan", "--budget-tokens", "5", cwd=tmp_path)
    assert (done.returncode, done.stderr.split(";")[0]) == (2, "--budget-tokens: belongs to a run")
