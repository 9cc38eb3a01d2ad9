"""The Failures page, started at the entry point as a reader does."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.failures import list_panel
from dashboard.failures.kinds import FAULTS
from dashboard.failures.scene import Scene
from dashboard.study.recipes import STUDIES_VARIABLE
from eval.store import open_store
from tests.dashboard.conftest import Pages, html, with_hostile_text
from tests.eval.synthetic_store import make_synthetic_store
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import Quarantine

FOLDER = "synthetic"
"""Of the study, as its name is."""


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the synthetic study beside its recipe, where the pages look for it."""
    (tmp_path / "one.yaml").write_text(f"study: {FOLDER}\n", encoding="utf-8")
    (tmp_path / FOLDER).mkdir()
    monkeypatch.setenv(STUDIES_VARIABLE, str(tmp_path))
    return tmp_path / FOLDER


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with 30 borderline prompts, ten in each category."""
    path = tmp_path_factory.mktemp("wide") / "results.duckdb"
    make_synthetic_store(path, ratios=5, prompts=90)
    return path


def told(page: AppTest) -> str:
    return re.sub(r"<[^>]+>", "", html(page))


def counted(page: AppTest) -> int:
    return int(re.search(r"(\d+) at r ", told(page))[1])  # type: ignore[index]


@pytest.mark.parametrize(
    ("fault", "language"), [*((fault, "en") for fault in FAULTS), ("over_refusal", "ja"), ("cut", "ja")]
)
def test_every_kind_of_failure_draws(pages: Pages, fault: str, language: str) -> None:
    page = pages("failures", fault=fault, pick="1", triples="1", lang=language)
    assert not page.exception
    charts = {"cut": 2, "broken": 2, "jailbroken": 0, "wrong_choice": 0}  # no such prompts in this study
    assert len(page.get("plotly_chart")) == charts.get(fault, 1)


def test_the_matrix_has_a_column_for_each_checkpoint(pages: Pages) -> None:
    page = pages("failures", pick="1")
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert ["", "1"] in figure["data"][1]["customdata"]
    assert figure["layout"]["xaxis"]["ticktext"] == ["0", "0.25", "0.5", "0.75", "1"]
    assert [one["text"] for one in figure["layout"]["annotations"]] == ["base", "safe", "useful"]


def test_a_slice_of_the_address_narrows_the_list(pages: Pages, wide: Path) -> None:
    whole = counted(pages("failures", at=wide, pick="1"))
    page = pages("failures", at=wide, pick="1", slice="category:悪用")
    some = counted(page)
    assert 0 < some < whole
    assert "only 悪用" in told(page)
    page.button(key="widen_slice").click().run()
    assert counted(page) == whole
    assert "slice" not in page.query_params
    assert counted(pages("failures", at=wide, pick="1", cat="悪用")) == some


def test_slices_are_held_against_a_baseline(pages: Pages, wide: Path) -> None:
    page = pages("failures", at=wide, pick="1", against="0")
    assert not page.exception
    assert "sign test" in told(page)
    assert "Fisher" in told(pages("failures", at=wide, pick="1"))


def test_unscored_answers_can_be_kept_to_one_kind_of_error(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = tmp_path / "errors.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute(
            "UPDATE answer SET error_kind = 'engine', text_id = NULL WHERE answer_id IN "
            "(SELECT answer_id FROM answer JOIN checkpoint USING (checkpoint_id) WHERE ratio = 1 LIMIT 4)"
        )
    whole = pages("failures", at=path, fault="unscored", pick="1")
    box = whole.selectbox(key="choice_err")
    assert "engine error (4)" in box.options
    box.select("engine").run()
    assert counted(whole) == 4
    assert whole.query_params["err"] == "engine"
    assert "Unscored answers are not exported" in told(whole)


def test_mask_seeds_share_columns_until_one_is_chosen(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = tmp_path / "seeds.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE checkpoint SET mask_seed = 2, ratio = 0.5 WHERE ratio = 0.75")
    page = pages("failures", at=path, pick="0.5@2")
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["xaxis"]["ticktext"] == ["0", "0.25", "0.5", "1"]
    assert ["", "0.5@2"] in figure["data"][1]["customdata"]
    assert "2 mask seeds" in told(page)
    page.selectbox(key="choice_seed").select("1").run()
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert ["", "0.5@1"] in figure["data"][1]["customdata"]
    assert "mask seeds" not in told(page)


def test_all_shown_failures_become_pairs_once(pages: Pages, study: Path) -> None:
    page = pages("failures", pick="1", triples="1")
    shown = counted(page)
    page.text_input(key="triples_set").set_value("round-two").run()
    page.button(key="export_triples").click().run()
    assert not page.exception
    pairs = PairSet(study / "data" / "round-two").reviewed()
    assert 0 < len(pairs) <= shown
    assert {one.status for one in pairs} == {"pending"}
    assert f"{len(pairs)} new pairs wait for review in round-two; 0 were there before" in told(page)
    [link] = [one.proto for one in page.get("page_link")]
    assert "pairs=round-two" in link.query_string
    page.button(key="export_triples").click().run()
    assert f"0 new pairs wait for review in round-two; {len(pairs)} were there before" in told(page)
    assert len(PairSet(study / "data" / "round-two").reviewed()) == len(pairs)
    assert "new pairs" in told(page.run())
    page.selectbox(key="choice_pick").select("0.75").run()
    assert "new pairs" not in told(page)


def test_the_link_to_the_new_pairs_shows_them_whatever_was_filtered_before(pages: Pages, study: Path) -> None:
    page = pages("failures", pick="1", triples="1")
    page.button(key="export_triples").click().run()
    [link] = [one.proto for one in page.get("page_link")]
    for kept, value in {"kind": "harmful", "pair_kind": "harmful", "status": "dropped", "pair": "x"}.items():
        page.session_state[f"kept:{kept}"] = value
    page.switch_page("views/review.py")
    page.query_params.update(parse_qsl(link.query_string, keep_blank_values=True))
    page.run()
    assert not page.exception
    assert PairSet(study / "data" / "failures-over-refusal").pairs()[0].prompt in html(page)


def test_ticked_failures_alone_become_pairs(pages: Pages, study: Path) -> None:
    page = pages("failures", pick="1", triples="1")
    before = int(re.search(r"All (\d+) failures", told(page))[1])  # type: ignore[index]
    page.session_state[f"ticked:{FOLDER}:over_refusal:1"] = _some_rows(page, 2)
    page.run()
    assert before > 2
    assert "2 ticked failures" in told(page)
    page.button(key="export_triples").click().run()
    assert len(PairSet(study / "data" / "failures-over-refusal").reviewed()) == 2


def test_failed_answers_to_harmful_prompts_are_sent_nowhere_but_to_the_quarantine(
    pages: Pages, study: Path, tmp_path: Path, store: Path
) -> None:
    canary = "TOXIC-CANARY-2718"
    path = tmp_path / "canary.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE text SET body = ? WHERE body = 'はい。（手順は省略）'", [canary])
    page = pages("failures", at=path, pick="0", fault="unsafe", triples="1")
    page.button(key="export_triples").click().run()
    [one, *_] = PairSet(study / "data" / "failures-unsafe").reviewed()
    assert Quarantine(study).get(one.pair.rejected.sha256) == canary
    assert canary not in f"{page.main}{html(page)}{page.session_state}"
    assert canary not in (study / "data" / "failures-unsafe" / "pairs.jsonl").read_text(encoding="utf-8")


def test_tables_leave_out_what_may_not_leave(
    pages: Pages, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers to harmful prompts, and all texts of sets that may not be redistributed."""
    tables: list[list[list[object]]] = []
    made = list_panel.table

    def kept(scene: Scene, shown: Sequence[list_panel.Row]) -> tuple[list[str], list[list[object]]]:
        header, rows = made(scene, shown)
        tables.append(rows)
        return header, rows

    def pressed(label: str, data: Any, *rest: Any, **values: Any) -> bool:
        data()
        return button(label, data, *rest, **values)

    button = st.download_button
    monkeypatch.setattr(st, "download_button", pressed)
    monkeypatch.setattr(list_panel, "table", kept)
    path = tmp_path / "closed.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE prompt_set SET redistributable = false WHERE name = 'seen-subjects'")
    pages("failures", pick="1")
    pages("failures", pick="0", fault="unsafe")
    pages("failures", at=path, pick="1")
    whole, harmful, closed = tables
    assert all(row[-2] and row[-1] for row in whole)
    assert harmful
    assert all(row[-2] and row[-1] is None for row in harmful)
    assert {row[0] for row in closed} == {"seen-subjects", "unseen-subjects"}
    assert all((row[-2] is None and row[-1] is None) == (row[0] == "seen-subjects") for row in closed)


def test_a_name_of_another_commands_set_is_refused(pages: Pages, study: Path) -> None:
    page = pages("failures", pick="1", triples="1")
    page.text_input(key="triples_set").set_value("harmful").run()
    page.button(key="export_triples").click().run()
    assert "made by another command" in told(page)
    assert not (study / "data").exists()


def test_where_the_study_is_elsewhere_it_says_so(pages: Pages) -> None:
    page = pages("failures", pick="1", triples="1")
    assert "are not on this machine" in told(page)
    assert not [one for one in page.button if one.key == "export_triples"]


@pytest.mark.usefixtures("study")
def test_the_store_is_never_written(pages: Pages, store: Path) -> None:
    before = store.stat().st_mtime_ns
    page = pages("failures", pick="1", triples="1")
    page.button(key="export_triples").click().run()
    assert store.stat().st_mtime_ns == before


def test_hostile_texts_are_inert_in_every_part(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = with_hostile_text(store, tmp_path)
    for fault in ("over_refusal", "unscored", "cut"):
        page = pages("failures", at=path, pick="1", fault=fault, triples="1")
        assert not page.exception
        for bad in ("<script", "<img", "\u202e", "\x1b"):
            assert bad not in html(page)
            assert bad not in _drawn(page)


def _drawn(page: AppTest) -> str:
    """The matrix without what a click returns, which no one sees."""
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    shown = [{name: value for name, value in trace.items() if name != "customdata"} for trace in figure["data"]]
    return json.dumps([shown, figure["layout"]], ensure_ascii=False)


def _some_rows(page: AppTest, count: int) -> list[str]:
    """Ids of rows that the list shows: it is a component of ours, whose data AppTest keeps as it was sent."""
    for element in page.get("bidi_component"):
        data = json.loads(element.proto.json or "{}")
        if data.get("ticks"):
            return [row["id"] for row in data["rows"][:count]]
    raise LookupError("no list with boxes on this page")
