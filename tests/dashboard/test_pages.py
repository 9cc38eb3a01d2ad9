"""Every page, started at the entry point as a reader does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
import yaml
from streamlit.testing.v1 import AppTest

from dashboard.store.place import STORE_VARIABLE
from eval.store import open_store
from tests.dashboard.conftest import APP, Pages, html, with_hostile_text

NAMES = ("frontier", "compare", "failures", "judges", "export")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("name", NAMES)
def test_every_page_draws_in_both_languages(pages: Pages, name: str, language: str) -> None:
    page = pages(name, lang=language)
    assert not page.exception
    assert 'class="ms-notice"' not in html(page)
    assert len(html(page)) > 500


def _chart(page: AppTest, number: int = 0) -> dict[str, object]:
    chart: dict[str, object] = json.loads(page.get("plotly_chart")[number].proto.spec)
    return chart


def test_the_frontier_has_every_checkpoint(pages: Pages) -> None:
    handles = [row["customdata"] for row in _chart(pages())["data"] if row.get("customdata")]  # type: ignore[attr-defined]
    assert handles == [
        [["0"], ["0.25"], ["0.5"], ["0.75"], ["1"]],
        [["base"], ["model-safe"], ["model-useful"]],
    ]


def test_the_strip_counts_what_the_store_holds(pages: Pages, store: Path) -> None:
    with open_store(store, read_only=True) as db:
        answers = db.execute("SELECT count(*) FROM answer").fetchone()[0]  # type: ignore[index]
    text = re.sub(r"<[^>]+>", "", html(pages()))
    judged = int(re.search(r"([\d,]+) answers judged", text)[1])  # type: ignore[index]
    unscored = int(re.search(r"([\d,]+) unscored", text)[1])  # type: ignore[index]
    assert judged + unscored == answers
    assert "5 ratios" in text
    assert "36 prompts" in text
    assert "proxy" in text


def test_the_address_picks_the_point(pages: Pages) -> None:
    page = pages(pick="0.75", baseline="base")
    assert page.selectbox(key="choice_pick").value == "0.75"
    assert 'aria-label="r 0.75"' in html(page)


def test_the_select_box_changes_the_address(pages: Pages) -> None:
    page = pages(pick="0.75")
    page.selectbox(key="choice_pick").select("0.25").run()
    assert page.query_params["pick"] == "0.25"
    assert 'aria-label="r 0.25"' in html(page)


def test_a_made_up_address_falls_back(pages: Pages) -> None:
    page = pages(pick="no-such-point", x="<script>", sel="nothing,0.5")
    assert not page.exception
    assert "<script>" not in html(page)


def test_the_choice_follows_to_other_pages(pages: Pages) -> None:
    page = pages(pick="0.75")
    page.query_params.clear()
    page.switch_page("views/export.py").run()
    assert page.selectbox(key="choice_pick").value == "0.75"


def test_compare_shows_the_chosen_checkpoints(pages: Pages) -> None:
    page = pages("compare", sel="0,1")
    assert html(page).count('class="ms-card"') == 2
    assert page.multiselect(key="choice_sel").value == ["0", "1"]


def test_compare_filters(pages: Pages) -> None:
    def shown(**address: str) -> int:
        text = html(pages("compare", **address))
        return int(re.search(r"([\d,]+) of 36 prompts", text)[1])  # type: ignore[index]

    assert shown() == 36
    assert shown(kind="harmful") == 12
    assert 0 < shown(diff="1", sel="0,1") < 36
    assert shown(diff="1", sel="0") == 0
    assert shown(q="ばくだん") == 12


def test_harmful_answers_are_blurred(pages: Pages, store: Path) -> None:
    with open_store(store, read_only=True) as db:
        key = db.execute(
            "SELECT prompt_set.name || '/' || item_key FROM set_item JOIN prompt_set USING (set_id) "
            "WHERE kind = 'harmful' ORDER BY 1 LIMIT 1"
        ).fetchone()[0]  # type: ignore[index]
    text = html(pages("compare", kind="harmful", item=key, sel="0"))
    assert "手順は省略" in text
    assert "ms-blurred" in text


def test_failures_list_and_matrix(pages: Pages, store: Path) -> None:
    page = pages("failures", pick="1", fault="over_refusal")
    text = html(page)
    count = int(re.search(r"(\d+) at r 1\.00", text)[1])  # type: ignore[index]
    with open_store(store, read_only=True) as db:
        rows = db.execute(
            "SELECT count(*) FROM checkpoint JOIN answer USING (checkpoint_id) "
            "JOIN judgement ON judgement.text_id = answer.text_id AND judgement.prompt_id = answer.prompt_id "
            "JOIN score USING (judgement_id) WHERE ratio = 1 AND axis = 'compliance' AND score.label <> 'full_answer'"
        ).fetchone()
    assert rows == (count,)
    squares = _chart(page)["data"][1]  # type: ignore[index]
    assert ["", "1"] in squares["customdata"]


@pytest.mark.parametrize(("language", "words"), [("en", "mergekit itself"), ("ja", "mergekit 本体")])
def test_merges_by_mergekit_itself_are_labelled(
    pages: Pages, store: Path, tmp_path: Path, language: str, words: str
) -> None:
    path = tmp_path / "own.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE checkpoint SET method = 'slerp', way = 'mergekit' WHERE kind = 'merge'")
    for name in ("frontier", "export"):
        assert words in html(pages(name, at=path, lang=language))
        assert words not in html(pages(name, lang=language))
    config = yaml.safe_load(pages("export", at=path, pick="0.25").code[0].value)
    assert config["parameters"] == {"t": 0.25}


def test_the_export_is_the_points_own_config(pages: Pages) -> None:
    page = pages("export", pick="0.75")
    config = yaml.safe_load(page.code[0].value)
    assert [model["parameters"]["weight"] for model in config["models"]] == [0.75, 0.25]
    assert config["out_dtype"] == "bfloat16"
    assert "--random-seed" in page.code[1].value
    assert "--num-threads 2" in page.code[1].value


def test_the_store_is_missing(pages: Pages, tmp_path: Path) -> None:
    for name in NAMES:
        page = pages(name, at=tmp_path / "none.duckdb")
        assert not page.exception
        assert "make demo-run" in html(page)


def test_the_store_is_empty(pages: Pages, tmp_path: Path) -> None:
    with open_store(tmp_path / "empty.duckdb", read_only=False):
        pass
    for name in NAMES:
        page = pages(name, at=tmp_path / "empty.duckdb")
        assert not page.exception
        assert "make demo-run" in html(page)


def test_the_store_is_newer(pages: Pages, tmp_path: Path) -> None:
    path = tmp_path / "newer.duckdb"
    with open_store(path, read_only=False) as db:
        db.execute("INSERT INTO schema_version (name) VALUES ('999_from_the_future')")
    page = pages(at=path)
    assert not page.exception
    assert "made by a newer version" in html(page)


def test_the_store_is_held(pages: Pages, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "held.duckdb"
    path.write_bytes(store.read_bytes())
    monkeypatch.setattr("dashboard.store.states.PATIENCE_S", 0.1)
    with open_store(path, read_only=False):
        page = pages(at=path)
        assert not page.exception
        assert "held by another process" in html(page)
    page.button(key="again").click().run()
    assert len(page.get("plotly_chart")) == 2


def test_the_store_is_something_else(pages: Pages, tmp_path: Path) -> None:
    path = tmp_path / "foreign.duckdb"
    duckdb.connect(str(path)).execute("CREATE TABLE t (a INTEGER)").close()
    (tmp_path / "text.duckdb").write_text("hello")
    assert "not a results file" in html(pages(at=path))
    assert "not a results file" in html(pages(at=tmp_path / "text.duckdb"))


def test_a_study_without_merges(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = tmp_path / "half.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute("DELETE FROM study_checkpoint WHERE role = 'merge'")
    for name in NAMES:
        page = pages(name, at=path)
        assert not page.exception
        assert "mergescope run" in html(page)


def test_several_mask_seeds_and_studies(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = tmp_path / "seeds.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE checkpoint SET mask_seed = 2, ratio = 0.5 WHERE ratio = 0.75")
        db.execute("INSERT INTO study SELECT 'y1_other', 'another', recipe, recipe_hash FROM study")
        for table in ("study_checkpoint", "study_set", "study_judge"):
            db.execute(f"INSERT INTO {table} SELECT 'y1_other', * EXCLUDE (study_id) FROM {table}")
    for name in NAMES:
        page = pages(name, at=path, study="synthetic")
        assert not page.exception
        assert page.selectbox(key="choice_study").options == ["another", "synthetic"]
        assert not pages(name, at=path, study="another").exception  # no estimates of its own
    assert "r 0.75 · 2" in pages(at=path, study="synthetic").selectbox(key="choice_pick").options


def test_a_study_without_estimates(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = tmp_path / "unmeasured.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute("DELETE FROM estimate")
    for name in NAMES:
        assert not pages(name, at=path).exception


def test_hostile_text_is_inert_on_every_page(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = with_hostile_text(store, tmp_path)
    for name in NAMES:
        page = pages(name, at=path)
        assert not page.exception
        shown = html(page)
        for bad in ("<script", "<img", "<style>body", "\u202e", "\u200b", "\x1b"):
            assert bad not in shown
        for markdown in page.markdown:
            assert "owned" not in markdown.value
    assert "&lt;script&gt;" in html(pages("compare", at=path))


def test_the_pages_never_import_torch(store: Path) -> None:
    script = f"""
import os, sys
os.environ[{STORE_VARIABLE!r}] = {str(store)!r}
from streamlit.testing.v1 import AppTest
page = AppTest.from_file({str(APP)!r}, default_timeout=30).run()
for name in {NAMES[1:]!r}:
    assert not page.switch_page(f"views/{{name}}.py").run().exception
heavy = {{"torch", "transformers", "mergekit", "trl", "vllm"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
