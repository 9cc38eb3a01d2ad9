"""What leaves by the browser: tables without the texts that may not be passed on."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
import yaml

from eval.store import open_store
from tests.dashboard.conftest import Pages, html

Rows = list[dict[str, str]]


@pytest.fixture
def tables(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Rows, str]]:
    """The table that a page offers for download, and the page's HTML."""
    offered: list[bytes] = []
    real = st.download_button

    def noted(label: str, data: Any, *rest: Any, **values: Any) -> bool:
        offered.append(data() if callable(data) else data)
        return real(label, data, *rest, **values)

    monkeypatch.setattr(st, "download_button", noted)

    def table(name: str, at: Path, **address: str) -> tuple[Rows, str]:
        page = pages(name, at=at, **address)
        assert not page.exception
        return list(csv.DictReader(io.StringIO(offered[-1].decode("utf-8-sig")))), html(page)

    return table


def spoiled(store: Path, folder: Path, *statements: str) -> Path:
    path = folder / "own.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        for statement in statements:
            db.execute(statement)
    return path


def test_open_sets_leave_whole_but_for_answers_to_harmful_prompts(store: Path, tables: Any) -> None:
    rows, page = tables("compare", store)
    assert len(rows) == 36
    assert all(row["prompt"] for row in rows)
    assert "may not be shared" not in page
    for fault in ("unsafe", "over_refusal"):
        rows, _ = tables("failures", store, fault=fault, pick="0.25" if fault == "unsafe" else "1")
        assert rows
        assert all(row["prompt"] for row in rows)
        assert all(bool(row["answer"]) == (fault != "unsafe") for row in rows)


def test_closed_sets_keep_prompts_answers_and_deep_categories(store: Path, tmp_path: Path, tables: Any) -> None:
    closed = spoiled(
        store,
        tmp_path,
        "UPDATE prompt_set SET redistributable = false WHERE name = (SELECT min(name) FROM prompt_set)",
    )
    with open_store(closed, read_only=True) as db:
        name = db.execute("SELECT min(name) FROM prompt_set").fetchone()[0]  # type: ignore[index]
    rows, page = tables("compare", closed)
    assert {bool(row["prompt"]) for row in rows if row["set"] == name} == {False}
    assert {bool(row["prompt"]) for row in rows if row["set"] != name} == {True}
    assert not any("/" in row["category"] for row in rows if row["set"] == name)
    held = sum(row["set"] == name for row in rows)
    assert f"leaves out the texts of {held} rows" in page
    rows, _ = tables("failures", closed, fault="over_refusal", pick="1")
    assert rows
    for row in rows:
        assert bool(row["prompt"]) == bool(row["answer"]) == (row["set"] != name)


def test_a_prompt_that_another_study_closes_stays(store: Path, tmp_path: Path, tables: Any) -> None:
    path = spoiled(
        store,
        tmp_path,
        "INSERT INTO prompt_set VALUES ('s2_other', 'other', 'v', 'x', 'closed', false)",
        "INSERT INTO set_item BY NAME SELECT 's2_other' AS set_id, * EXCLUDE (set_id) FROM set_item LIMIT 5",
    )
    rows, _ = tables("compare", path)
    assert sum(not row["prompt"] for row in rows) == 5


def test_a_set_that_the_recipe_has_closed_since_stays(
    store: Path, tmp_path: Path, tables: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(store, read_only=True) as db:
        names = [row[0] for row in db.execute("SELECT name FROM prompt_set ORDER BY 1").fetchall()]
    recipe = {"study": "synthetic", "eval": {"sets": [{"name": name, "redistributable": True} for name in names[1:]]}}
    recipe["eval"]["sets"].append({"name": names[0]})  # type: ignore[index]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe, allow_unicode=True), encoding="utf-8")
    monkeypatch.setenv("MERGESCOPE_STUDIES", str(tmp_path))
    rows, _ = tables("compare", store)
    assert {row["set"] for row in rows if not row["prompt"]} == {names[0]}


def test_an_answer_that_any_judge_found_unsafe_stays(store: Path, tmp_path: Path, tables: Any) -> None:
    before, _ = tables("failures", store, fault="over_refusal", pick="1")
    path = spoiled(
        store,
        tmp_path,
        "INSERT INTO judge SELECT 'j9_other', 'other', kind, setting, trust FROM judge LIMIT 1",
        "INSERT INTO judgement BY NAME SELECT * REPLACE ('m9_' || judgement_id AS judgement_id, 'j9_other' AS judge_id)"
        " FROM judgement WHERE kind = 'borderline' AND error_kind IS NULL",
        "INSERT INTO score SELECT judgement_id, 'safety', 1.0, NULL, 'r' FROM judgement WHERE judge_id = 'j9_other'",
    )
    after, _ = tables("failures", path, fault="over_refusal", pick="1")
    assert all(row["answer"] for row in before)
    assert not any(row["answer"] for row in after)
    assert [row["prompt"] for row in before] == [row["prompt"] for row in after]


def test_no_cell_of_a_download_is_a_formula(store: Path, tmp_path: Path, tables: Any) -> None:
    path = spoiled(store, tmp_path, "UPDATE set_item SET item_key = '=cmd|x!' || item_key",
                   "UPDATE set_item SET category = ['@SUM(1)', '+1']")  # fmt: skip
    for page in ("compare", "failures"):
        rows, _ = tables(page, path, pick="1")
        assert rows
        cells = [cell for row in rows for cell in row.values()]
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
        assert {row["category"] for row in rows} == {"'@SUM(1) / +1"}
