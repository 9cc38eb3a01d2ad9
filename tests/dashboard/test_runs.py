"""The Runs page on folders as real runs leave them: at work, killed, finished, and not ours."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from dashboard.study.recipes import STUDIES_VARIABLE, RecipeFile, recipes
from dashboard.study.runs import TAIL_LINES, run_of
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import write_json
from mergescope.ground.progress import LOG, Reporter
from tests.dashboard.conftest import Pages, html
from trainer.curve import append_point, write_curve
from trainer.job import Job, begin, work_folder

Studies = Callable[..., RecipeFile]


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Studies:
    """Writes a recipe into the folder that the pages look into."""
    folder = tmp_path / "studies"
    folder.mkdir()
    monkeypatch.setenv(STUDIES_VARIABLE, str(folder))

    def write(name: str = "mine", **raw: Any) -> RecipeFile:
        content = {"study": name, "train": {"safe": {}, "useful": {}}, **raw}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return next(recipe for recipe in recipes(tmp_path / "results.duckdb") if recipe.study == name)

    return write


def at_work(recipe: RecipeFile, steps: int, of: int) -> None:
    """model-useful made, model-safe under way, as `mergescope train` leaves the files meanwhile."""
    made = recipe.folder / "model-useful"
    points = [{"loss": 0.7 - i / 100, "accuracy": 0.5 + i / 100, "unlikelihood": 0.0} for i in range(10)]
    write_json(made / "manifest.json", {"stage_hash": "x", "steps": points, "held_out": [{"step": 10, "loss": 0.65}]})
    work = work_folder(recipe.folder, "safe")
    begin(work, Job("x", "safe", {}, "base", ("t.jsonl",), 1, "logps.jsonl", ("x",)), Reporter())
    write_curve(work, [{"step": i, "loss": 2 / i} for i in range(1, steps + 1)])
    progress(recipe, done=steps, total=of)


def progress(recipe: RecipeFile, **changes: Any) -> None:
    found = {
        "pid": 1,
        "heartbeat": time.time(),
        "stage": "safe",
        "task": "DPO",
        "state": "running",
        "done": 3,
        "total": 20,
        "unit": "steps",
        "rate": 0.5,
        "remaining_s": 40.0,
        "note": "loss 0.5",
        "beside": {},
        "errors": {},
    }
    write_json(recipe.folder / "progress.json", found | changes)


def charts(page: AppTest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.get("plotly_chart")[0].proto.spec)
    return found


def shown(page: AppTest) -> str:
    return re.sub(r"<[^>]+>", " ", html(page))


def test_a_run_at_work_shows_stages_progress_and_both_curves(pages: Pages, studies: Studies, tmp_path: Path) -> None:
    recipe = studies(world={"seed": 1}, data={"selfalign": {"pairs": 9}})
    at_work(recipe, 4, 20)
    page = pages("runs", tmp_path / "none.duckdb")
    assert not page.exception
    text = shown(page)
    assert re.search(r"1 / 5\s+stages made", text)
    assert re.search(r"4 / 20\s+DPO steps", text)
    assert "40 s" in text
    assert re.search(r"self-alignment\s+not yet", text)
    assert [re.search(rf"{name}\s+(\w+)", text)[1] for name in ("model-safe", "model-useful")] == ["running", "made"]  # type: ignore[index]
    chart = charts(page)
    titles = [title["text"] for title in chart["layout"]["annotations"]]
    assert titles == [
        "model-safe: loss",
        "model-useful: loss",
        "model-useful: share of triples whose chosen side wins",
    ]
    assert [trace["x"] for trace in chart["data"]] == [[1, 2, 3, 4], list(range(1, 11)), [10], list(range(1, 11))]
    assert chart["layout"]["xaxis"]["range"] == [0, 20]
    assert chart["layout"]["xaxis2"]["range"] == [0, 10]


def test_each_new_step_appears(studies: Studies) -> None:
    recipe = studies()
    at_work(recipe, 4, 20)
    append_point(work_folder(recipe.folder, "safe"), {"step": 5, "loss": 0.4})
    with (work_folder(recipe.folder, "safe") / "curve.jsonl").open("a") as stream:
        stream.write('{"step": 6, "lo')  # as it is being written
    safe, useful = run_of(recipe).curves
    assert (safe.steps, safe.is_whole) == (5, False)
    assert (useful.steps, useful.is_whole) == (10, True)


def test_the_last_lines_of_the_log_are_shown_the_newest_first(pages: Pages, studies: Studies) -> None:
    recipe = studies()
    at_work(recipe, 4, 20)
    assert run_of(recipe).log == ()
    lines = [f"2026-11-28 10:00:00 line {number} <b>\x1b[31m" for number in range(900)]
    (recipe.folder / LOG).write_text("\n".join(lines) + "\n")
    assert run_of(recipe).log == tuple(reversed(lines[-TAIL_LINES:]))
    text = html(pages("runs"))
    assert "line 899 &lt;b&gt;" in text
    assert "<b>\x1b" not in text
    (recipe.folder / LOG).write_text("one\n")
    assert run_of(recipe).log == ("one",)


def test_a_killed_run_is_said_to_have_stopped(pages: Pages, studies: Studies) -> None:
    recipe = studies()
    at_work(recipe, 4, 20)
    progress(recipe, heartbeat=time.time() - 60)
    text = shown(pages("runs"))
    assert re.search(r"model-safe\s+stopped", text)
    assert "ended before its work was done" in text
    assert "a second" not in text


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_study_that_never_ran(pages: Pages, studies: Studies, language: str) -> None:
    studies()
    page = pages("runs", lang=language)
    assert not page.exception
    assert page.get("plotly_chart") == []
    assert "mergescope run RECIPE" in html(page)


def test_the_study_that_ran_last_comes_first_and_another_can_be_picked(pages: Pages, studies: Studies) -> None:
    for name in ("old", "new"):
        recipe = studies(name)
        at_work(recipe, 2, 9)
    page = pages("runs")
    assert page.selectbox(key="choice_run").value == "new"
    page.selectbox(key="choice_run").select("old").run()
    assert page.query_params["run"] == "old"


def test_a_skipped_training_has_no_rows(studies: Studies) -> None:
    recipe = studies(train="skip")
    assert [stage.name for stage in run_of(recipe).stages] == ["sweep"]
    write_json(recipe.folder / "masks" / "m1" / "manifest.json", {"stage_hash": "x"})
    assert [(stage.name, stage.state) for stage in run_of(recipe).stages] == [("masks", "made"), ("sweep", "missing")]


def test_without_recipes_the_page_says_where_it_looked(pages: Pages, studies: Studies) -> None:
    assert callable(studies)
    assert "mergescope init" in html(pages("runs"))


def test_hostile_files_stay_text(pages: Pages, studies: Studies) -> None:
    hostile = "<script>document.title='owned'</script>"
    recipe = studies(world=True)
    at_work(recipe, 4, 20)
    progress(recipe, task=hostile, note=hostile, unit=hostile, errors={hostile: 2})
    append_point(work_folder(recipe.folder, "safe"), {"step": 5, "loss": 1.0, hostile: 1.0})
    page = pages("runs")
    assert not page.exception
    assert "<script" not in html(page)
    assert "<script" not in json.dumps(charts(page)["layout"])
    progress(recipe, done="many")
    with pytest.raises(MergescopeError, match="not what a run writes"):
        run_of(recipe)
    assert "not what a run writes" in shown(pages("runs"))


def test_names_that_leave_the_folder_are_no_studies(studies: Studies, tmp_path: Path) -> None:
    studies("good")
    for number, name in enumerate(("../other", "..", "a/b", "7", "")):
        (tmp_path / "studies" / f"{number}.yaml").write_text(f"study: {json.dumps(name)}", encoding="utf-8")
    (tmp_path / "studies" / "list.yaml").write_text("- 1", encoding="utf-8")
    assert [recipe.study for recipe in recipes(tmp_path / "results.duckdb")] == ["7", "good"]
