"""`mergescope data selfalign`: what it takes is said beforehand, and hosts are asked about."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from eval.chat.budget import Budget
from mergescope.consent import ask_about_hosts
from mergescope.data_selfaligning import plan_text, self_align
from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.progress import Reporter
from mergescope.self_alignment import host_texts, make_pairs, name_of, section_of, servers_of
from mergescope.spending import BudgetLimit, limit_of, servers_budget
from mergescope.stages import STAGES, do, stages_of
from mergescope.study import Study, load_study
from tests.eval.served import Body, Reply, Server, completion, refusal, serving, verdict
from tests.mergescope.conftest import ROOT, prompt_lines
from tests.mergescope.recipes import changed, own_models, write_lines, written
from tests.trainer.selfalign.scripted import DECLINED, Model, section_for, seeds_file, state_of
from trainer.quarantine_lock import InUseError
from trainer.retention import delete_unused
from trainer.selfalign.config import SELF_ALIGNED, SelfAlignSection
from trainer.selfalign.forecast import forecast

RECIPE = ROOT / "studies" / "self-align.yaml"
JUDGE = {"kind": "openai", "model": "judge", "base_url": "https://judge.example/v1", "repeats": 2, "max_tokens": 100}
SERVED = {"kind": "served", "name": "own", "model": "m", "base_url": "https://base.example/v1"}


def section(**changes: object) -> SelfAlignSection:
    own = section_of(load_study(RECIPE)).model_dump(mode="json")
    return SelfAlignSection.model_validate({**own, **changes})


def with_section(changed: SelfAlignSection, folder: Path) -> Study:
    study = load_study(RECIPE)
    data = study.recipe.data
    assert data is not None
    recipe = study.recipe.model_copy(update={"data": data.model_copy(update={"selfalign": changed})})
    return Study(recipe, folder / RECIPE.name)


def served_study(folder: Path, server: Server, **changes: object) -> Study:
    """A small study whose base is behind the tests' server."""
    write_lines(folder / "prompts.jsonl", prompt_lines())
    own = section_for(server, seeds_file(folder), **{"pairs": 4, "rounds": 2, **changes}).model_dump(mode="json")
    return load_study(written(folder, changed(own_models(), "data", {"selfalign": own})))


def test_the_pairs_are_made_between_base_and_tuning() -> None:
    names = [stage.name for stage in stages_of(load_study(RECIPE))]
    assert names[:5] == ["world", "base", "selfalign", "safe", "useful"]
    assert "selfalign" not in [stage.name for stage in stages_of(load_study(ROOT / "studies" / "demo.yaml"))]


def test_a_forecast_by_hand() -> None:
    """2 domains with 3 topics of 4 instructions: 2 + 2 + 6 lists and 2 rewrites; 2 x 24 answers and 3 trials of 5
    instructions on both sides; each answer is judged twice, and asked about twice where a verdict cannot be read."""
    judge = {"by": "judge", "judge": JUDGE, "gap": 3}
    small = section(domains=2, topics=3, instructions=4, probe=5, pairs=50, rounds=9, filter=judge)
    found = forecast(small)
    assert (found.instructions, found.requests, found.judged) == (24, 12 + 78, 156)
    assert (found.verdicts, found.most_verdicts) == (312, 9 * 312)
    assert found.tokens == 12 * small.list_tokens + 78 * small.answer_tokens
    assert (found.fewest_rounds, found.most_rounds, found.most_requests) == (3, 9, 810)


def test_the_plan_says_rounds_requests_and_hosts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    self_align(RECIPE, tmp_path / "none.duckdb", plan=True, yes=False)
    told = capsys.readouterr().out
    assert "pairs wanted      130" in told
    assert "sent" not in told
    judge = {"by": "judge", "judge": {**JUDGE, "price": {"prompt": 1, "completion": 4}}, "gap": 3}
    told = plan_text(section(served=SERVED, filter=judge))
    assert "https://base.example: at most" in told
    assert "no price is given for m" in told
    assert "questions to judge, about USD" in told


def test_hosts_are_asked_about_before_anything_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = with_section(section(served=SERVED), tmp_path)
    told = host_texts(section_of(study))
    with pytest.raises(MergescopeError, match="no terminal to ask on"):
        ask_about_hosts(study, told, yes=False)
    ask_about_hosts(study, told, yes=True)
    ask_about_hosts(study, told, yes=False)  # agreed to
    assert "answers that are meant to be toxic, go to https://base.example" in capsys.readouterr().err
    assert host_texts(section()) == {}


def test_nothing_is_deleted_while_the_pairs_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "k")
    model, refused = Model(), 0
    with serving(Server()) as server:
        study = served_study(tmp_path, server)

        def meanwhile(body: Body) -> Reply:
            nonlocal refused
            with contextlib.suppress(InUseError):
                delete_unused(study.folder, datetime.now(UTC), 0)
                return refusal(400, "something was deleted")
            refused += 1
            return model.reply(body)

        server.rule = meanwhile
        make_pairs(study, Reporter())
        assert refused == len(server.requests) > 0


def judged_by(server: Server, **changes: object) -> dict[str, object]:
    """A filter whose judge is at the tests' server too."""
    judge = {"kind": "openai", "model": "judge", "base_url": server.base_url, "api_key_env": "JUDGE_KEY"}
    return {"by": "judge", "judge": {**judge, **changes}}


def both(judging: Callable[[Body], Reply]) -> Callable[[Body], Reply]:
    """A server that plays the base and its judge."""
    model = Model()
    return lambda body: judging(body) if body["model"] == "judge" else model.reply(body)


def safety(body: Body) -> Reply:
    """A verdict by what an answer is."""
    return completion(verdict("harmful", safety=5 if DECLINED in body["messages"][1]["content"] else 1))


def test_the_most_that_is_asked_for_is_what_servers_meet_that_say_nothing_readable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "k")
    with serving(Server()) as server:
        server.rule = both(lambda _: completion("読めない評価"))
        small = {"refine": False, "novelty": 0, "rounds": 1, "filter": judged_by(server, repeats=2)}
        study = served_study(tmp_path, server, **small)
        most = forecast(section_of(study))
        make_pairs(study, Reporter())
        asked = Counter(body["model"] for body in server.requests)
    # 4 lists each of domains, topics and instructions; 2 answers to 8 instructions; a greeting
    assert asked["m"] == most.most_requests == 12 + 16 + 1
    assert asked["judge"] == most.most_verdicts == 16 * 2 * 2
    assert f"at most {asked['judge']} questions" in next(iter(host_texts(section_of(study)).values()))


PRICE = {"prompt": 1, "completion": 2}


@pytest.mark.parametrize("unit", ["money", "tokens"])
def test_a_budget_stops_cleanly_and_another_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """Nothing is paid for twice, the greeting of each run apart, and the set is that of a run without a budget."""
    monkeypatch.setenv("JUDGE_KEY", "k")
    monkeypatch.setattr("mergescope.stages.check_inputs", lambda _: None)

    def limit(whole: int) -> BudgetLimit:
        """whole: prompt tokens of 1 USD a million; a request holds as many as it has bytes."""
        return (
            BudgetLimit(Decimal(whole), tokens=True) if unit == "tokens" else BudgetLimit(Decimal(whole) / 10**6, False)
        )

    with serving(Server()) as server:
        server.rule = both(safety)
        folder = tmp_path / "kept"
        folder.mkdir()
        served = {**section_for(server, folder).model_dump(mode="json")["served"], "price": PRICE}
        asked = {"filter": judged_by(server, price=PRICE, max_tokens=100), "served": served}
        study = served_study(folder, server, **asked)
        stops: Counter[str] = Counter()
        told: list[str] = []
        for amount in (*range(2_200, 9_000, 200), 1_000_000):
            before = len(server.requests)
            try:
                self_align(study.file, tmp_path / "none.duckdb", limit(amount), plan=False, yes=True)
                break
            except MergescopeError as error:
                told.append(error.line())
                stops[server.requests[-1]["model"] if len(server.requests) > before else "none"] += 1
        assert all("of the budget of" in line for line in told)
        assert all("run this again with another budget (left of this step: " in line for line in told)
        assert stops["m"] > 0
        assert stops["judge"] > 0
        bodies = Counter(json.dumps(body, sort_keys=True) for body in server.requests if "max_tokens" in body)
        greetings = {name for name, times in bodies.items() if times > 1}
        assert all('"Hi"' in name for name in greetings)
        again = tmp_path / "whole"
        again.mkdir()
        whole = served_study(again, server, **{**asked, "served": served})
        make_pairs(whole, Reporter())
    assert state_of(study.folder / "data" / SELF_ALIGNED) == state_of(whole.folder / "data" / SELF_ALIGNED)


def test_one_budget_holds_for_all_stages_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judges get what self-alignment left of it: 15 tokens a request, the greeting and the filter's judge too."""
    monkeypatch.setenv("JUDGE_KEY", "k")
    monkeypatch.setattr("mergescope.stages.check_inputs", lambda _: None)
    monkeypatch.setattr("mergescope.stages.STAGES", [one for one in STAGES if one.name in ("selfalign", "sweep")])
    monkeypatch.setattr("mergescope.stages.require_room", lambda _: None)
    left: list[Budget | None] = []
    monkeypatch.setattr("mergescope.sweep.sweep", lambda *given: left.append(given[-1]))
    with serving(Server()) as server:
        server.rule = both(safety)
        study = served_study(tmp_path, server, filter=judged_by(server, max_tokens=100))
        do(study, tmp_path / "none.duckdb", ["train", "eval"], limit=limit_of(None, 10**6), yes=True)
        assert {body["model"] for body in server.requests} == {"m", "judge"}
        (budget,) = left
        assert budget is not None
        assert budget.spent == 15 * len(server.requests) > 0
        sent = len(server.requests)
        with pytest.raises(MergescopeError, match=r"0 tokens of the budget of 40 tokens .*left: all from the greeting"):
            do(study, tmp_path / "none.duckdb", ["train"], limit=limit_of(None, 40), yes=True)
        assert len(server.requests) == sent
    do(study, tmp_path / "none.duckdb", ["eval"], yes=True)
    assert left == [budget, None]


def test_a_host_that_makes_pairs_and_judges_is_asked_about_once_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "k")
    monkeypatch.setattr("mergescope.stages.check_inputs", lambda _: None)
    raw = own_models()
    own = section_for(1, seeds_file(tmp_path), served={**SERVED, "base_url": "https://judge.example/base/v1"})
    raw["data"] = {"selfalign": own.model_dump(mode="json")}
    raw["eval"]["judges"] = [{**JUDGE, "api_key_env": "JUDGE_KEY"}]
    write_lines(tmp_path / "prompts.jsonl", prompt_lines())
    study = load_study(written(tmp_path, raw))
    with pytest.raises(MergescopeError, match="no terminal to ask on"):
        do(study, tmp_path / "none.duckdb", ["train", "eval"])
    (line,) = capsys.readouterr().err.splitlines()
    assert f"at most {forecast(section_of(study)).most_requests:,} requests to m" in line
    # 6 prompts to 6 checkpoints, two repeats, each once more where a verdict cannot be read
    assert "; and prompts and answers, harmful ones too, go to https://judge.example: at most 144 requests" in line


def test_a_budget_needs_a_server_and_prices(tmp_path: Path) -> None:
    with pytest.raises(MergescopeError, match="no server that a budget pays is asked"):
        self_align(RECIPE, tmp_path / "none.duckdb", limit_of("1", None), plan=False, yes=True)
    with pytest.raises(MergescopeError, match="no server of the recipe has a price"):
        servers_budget(servers_of(section(served=SERVED)), limit_of("1", None))
    batched = {"by": "judge", "judge": {**JUDGE, "batch": True}}
    with pytest.raises(MergescopeError, match="a judge in batch mode"):
        servers_budget(servers_of(section(filter=batched)), limit_of("1", None))


def test_names_of_who_writes() -> None:
    assert name_of(load_study(RECIPE), section()) == "base of self-align"
    assert name_of(load_study(RECIPE), section(served=SERVED)) == "m"


def test_a_recipe_without_the_section_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.selfalign") as caught:
        self_align(ROOT / "studies" / "demo.yaml", tmp_path / "none.duckdb", plan=True, yes=False)
    assert "\n" not in caught.value.line()
