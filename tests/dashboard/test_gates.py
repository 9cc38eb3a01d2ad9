"""The gates of the Export page: shown, opened by a box, and the command line's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dashboard.study import bundling, gates
from dashboard.study.recipes import STUDIES_VARIABLE
from eval.store import open_store
from merge.gates import LESS_SAFE, VENDOR_TERMS
from tests.dashboard.conftest import Pages, html
from tests.trainer.test_provenance import write_triples

BASE_REFUSES = """
UPDATE estimate SET low = 0.999
WHERE metric = 'harmful_refusal_rate' AND checkpoint_id IN (SELECT checkpoint_id FROM checkpoint WHERE kind = 'base')
"""


CHOOSE = """
INSERT INTO choice SELECT 'x1_' || study_id, study_id, checkpoint_id, '"max balance"', 1, repeat('e', 64), 'anna',
  TIMESTAMP '2026-11-28 09:30:00', '', NULL FROM study, checkpoint WHERE ratio = 0.5
"""


@pytest.fixture
def gated(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store whose base refuses more than any merge, of a study whose data a vendor's model wrote."""
    monkeypatch.delenv(STUDIES_VARIABLE, raising=False)
    path = tmp_path / "results.duckdb"
    path.write_bytes(store.read_bytes())
    recipe = {"study": "synthetic", "models": {"origin": {"safe": {"made_by": ["gpt-4o", "people"]}}}}
    with open_store(path, read_only=False) as db:
        db.execute(BASE_REFUSES)
        db.execute("UPDATE study SET recipe = ?", [json.dumps(recipe)])
    return path


def test_no_gate_where_nothing_stands_against_it(pages: Pages) -> None:
    page = pages("export", pick="1")
    assert len(page.checkbox) == 0
    assert 'class="ms-gate"' not in html(page)


def test_each_gate_is_shown_with_a_box(pages: Pages, gated: Path) -> None:
    page = pages("export", at=gated, pick="0.5")
    text = html(page)
    assert "Less safe than the base: harmful refused, judge proxy ja (proxy), at least" in text
    assert "Training data made with gpt-4o: OpenAI" in text
    assert "gpt-4o, people" not in text
    assert len(page.checkbox) == 2


def test_a_box_writes_its_acknowledgement_into_the_command(pages: Pages, gated: Path) -> None:
    page = pages("export", at=gated, pick="0.5")
    assert "--acknowledge" not in page.code[2].value
    page.checkbox[1].check().run()
    assert page.code[2].value.endswith(f"--acknowledge {VENDOR_TERMS}")
    page.checkbox[0].check().run()
    assert f"--acknowledge {LESS_SAFE}" in page.code[2].value


def test_the_bundle_waits_for_the_word_on_safety(pages: Pages, gated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def made(*arguments: object) -> bytes:
        asked.append(tuple(arguments[-1]))  # type: ignore[arg-type]
        return b"zip"

    (gated.parent / "studies").mkdir()
    (gated.parent / "studies" / "s.yaml").write_text("study: synthetic\n")
    monkeypatch.setattr(bundling, "bundle", made)
    with open_store(gated, read_only=False) as db:
        db.execute(CHOOSE)
    page = pages("export", at=gated, pick="0.5")
    assert page.button(key="prepare_bundle").disabled
    assert page.button(key="start_job").disabled
    page.checkbox[0].check().run()
    page.button(key="prepare_bundle").click().run()
    assert not page.exception
    assert asked == [(LESS_SAFE,)]
    assert len(page.get("download_button")) == 2  # the config's, and now the bundle's


def test_a_base_without_numbers_is_said(pages: Pages, gated: Path) -> None:
    with open_store(gated, read_only=False) as db:
        db.execute(
            "DELETE FROM estimate WHERE checkpoint_id IN (SELECT checkpoint_id FROM checkpoint WHERE kind = 'base')"
        )
    assert "Not compared with the base: harmful refused by proxy ja" in html(pages("export", at=gated, pick="0.5"))


def test_triples_beside_the_recipe_are_read(tmp_path: Path) -> None:
    write_triples(tmp_path / "a.jsonl", {"made_by": "claude-3"}, {"made_by": "people"})
    (tmp_path / "bad.jsonl").write_text("{")
    recipe = {"train": {"safe": {"triples": ["a.jsonl"]}, "useful": {"triples": ["a.jsonl", "gone.jsonl"]}}}
    assert sorted(gates.makers(recipe, tmp_path)) == ["claude-3", "people"]
    assert list(gates.makers(recipe, None)) == []
    assert list(gates.makers({"train": "skip"}, tmp_path)) == []
    assert list(gates.makers({"train": {"safe": {"triples": ["bad.jsonl"]}}}, tmp_path)) == []


def test_nothing_leaves_that_nobody_has_chosen(pages: Pages, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    path.write_bytes(store.read_bytes())
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "s.yaml").write_text("study: synthetic\n")
    with open_store(path, read_only=False) as db:
        db.execute(CHOOSE)
    page = pages("export", at=path, pick="0.75")
    assert [page.button(key=key).disabled for key in ("prepare_bundle", "start_job")] == [True, True]
    page = pages("export", at=path, pick="0.5")
    assert [page.button(key=key).disabled for key in ("prepare_bundle", "start_job")] == [False, False]
