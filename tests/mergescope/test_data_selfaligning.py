"""`mergescope data selfalign`: what it takes is said beforehand, and hosts are asked about."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mergescope.data_selfaligning import plan_text, self_align
from mergescope.ground.errors import MergescopeError, RecipeError
from mergescope.ground.progress import Reporter
from mergescope.self_alignment import ask_about_hosts, host_texts, make_pairs, name_of, section_of
from mergescope.stages import stages_of
from mergescope.study import Study, load_study
from tests.eval.served import Body, Reply, Server, refusal, serving
from tests.mergescope.conftest import ROOT, prompt_lines
from tests.mergescope.recipes import changed, own_models, write_lines, written
from tests.trainer.selfalign.scripted import Model, section_for, seeds_file
from trainer.quarantine_lock import InUseError
from trainer.retention import delete_unused
from trainer.selfalign.config import SelfAlignSection
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
    own = section_for(server, seeds_file(folder), pairs=4, rounds=2, **changes).model_dump(mode="json")
    return load_study(written(folder, changed(own_models(), "data", {"selfalign": own})))


def test_the_pairs_are_made_between_base_and_tuning() -> None:
    names = [stage.name for stage in stages_of(load_study(RECIPE))]
    assert names[:5] == ["world", "base", "selfalign", "safe", "useful"]
    assert "selfalign" not in [stage.name for stage in stages_of(load_study(ROOT / "studies" / "demo.yaml"))]


def test_a_forecast_by_hand() -> None:
    """2 domains with 3 topics of 4 instructions: 2 + 2 + 6 lists and 2 rewrites; 2 x 24 answers and 3 trials of 5
    instructions on both sides; each answer is judged twice."""
    judge = {"by": "judge", "judge": JUDGE, "gap": 3}
    small = section(domains=2, topics=3, instructions=4, probe=5, pairs=50, rounds=9, filter=judge)
    found = forecast(small)
    assert (found.instructions, found.requests, found.judged) == (24, 12 + 78, 156)
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
    assert "no price is given for it" in told
    assert "questions to judge, at most USD" in told


def test_hosts_are_asked_about_before_anything_is_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = with_section(section(served=SERVED), tmp_path)
    with pytest.raises(MergescopeError, match="no terminal to ask on"):
        ask_about_hosts(study, yes=False)
    ask_about_hosts(study, yes=True)
    ask_about_hosts(study, yes=False)  # agreed to
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


def test_names_of_who_writes() -> None:
    assert name_of(load_study(RECIPE), section()) == "base of self-align"
    assert name_of(load_study(RECIPE), section(served=SERVED)) == "m"


def test_a_recipe_without_the_section_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"data\.selfalign") as caught:
        self_align(ROOT / "studies" / "demo.yaml", tmp_path / "none.duckdb", plan=True, yes=False)
    assert "\n" not in caught.value.line()
