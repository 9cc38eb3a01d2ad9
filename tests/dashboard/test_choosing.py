"""Choose and export: read, open the confirm split, choose; and what stays of each."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.choosing.sampling import REASONS, drawn
from eval.choices import choice_in_force, choices
from eval.evidence import openings, read_evidence
from eval.inbox.slips import waiting
from eval.rows import ChoiceRow
from eval.store import open_store
from tests.dashboard.conftest import HOSTILE, Pages, board_of, html


@pytest.fixture
def own(store: Path, tmp_path: Path) -> Path:
    """A store of this test's own."""
    return Path(shutil.copy(store, tmp_path / "results.duckdb"))


def read_all(page: AppTest) -> None:
    for _ in range(20):
        if not page.button(key="open_confirm").disabled:
            return
        page.button(key="checklist_read").click().run()
    raise AssertionError("the checklist has no end")


def chosen(pages: Pages, store: Path, pick: str, note: str = "") -> AppTest:
    """The page after a choice."""
    page = pages("export", at=store, pick=pick, rater="anna")
    read_all(page)
    page.button(key="open_confirm").click().run()
    page.text_area[0].input(note).run()
    page.button(key="choose").click().run()
    assert not page.exception
    return page


def stored(store: Path, count: int) -> list[ChoiceRow]:
    """The study's choices once the inbox is empty."""
    deadline = time.monotonic() + 60
    while waiting(store):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with open_store(store, read_only=True) as db:
        study = db.execute("SELECT study_id FROM study").fetchall()[0][0]
        rows = choices(db, study)
    assert len(rows) == count
    return rows


def test_the_confirm_split_is_closed_until_all_is_read_and_opened_once(pages: Pages, own: Path) -> None:
    page = pages("export", at=own, pick="0.5", rater="anna")
    assert ">confirm</th>" not in html(page)
    assert page.button(key="open_confirm").disabled
    assert page.button(key="choose").disabled
    read_all(page)
    assert ">confirm</th>" not in html(page)
    assert openings(own) == []
    page.button(key="open_confirm").click().run()
    assert ">confirm</th>" in html(page)
    assert "Opened by anna" in html(page)
    (one,) = openings(own)
    again = pages("export", at=own, pick="0.5", rater="ben")  # another session: open, and no second line
    assert "Opened by anna" in html(again)
    assert openings(own) == [one]
    other = pages("export", at=own, pick="0.75", rater="ben")
    assert ">confirm</th>" not in html(other)
    assert "Also opened in this study: r 0.50." in html(other)


def test_nobody_without_a_name_opens_or_chooses(pages: Pages, own: Path) -> None:
    page = pages("export", at=own, pick="0.5", rater="anna")
    read_all(page)
    page.text_input(key="reviewer").input(" ").run()
    assert page.button(key="open_confirm").disabled


def test_a_choice_names_its_rule_its_note_and_its_evidence(pages: Pages, own: Path) -> None:
    page = chosen(pages, own, "0.5", "the borderline answers read best")
    assert "the borderline answers read best" in html(page)
    assert "in force" in html(page)
    (row,) = stored(own, 1)
    assert (row.who, row.note, json.loads(row.rule)) == ("anna", "the borderline answers read best", "max balance")
    text = read_evidence(own, row.evidence_sha256)
    assert text is not None
    told = json.loads(text)
    with open_store(own, read_only=True) as db:
        query = "SELECT value, n FROM estimate WHERE checkpoint_id = ? AND metric = 'safety' AND split = ?"
        for split in ("select", "confirm"):
            value, n = db.execute(query + " AND scope = 'all'", [row.checkpoint_id, split]).fetchall()[0]
            assert (float(told[split]["safety"]["value"]), told[split]["safety"]["n"]) == (pytest.approx(value), n)
    assert 0 < len(told["read"]) <= 10
    assert {one["reason"] for one in told["read"]} <= set(REASONS)


def test_a_later_choice_supersedes_and_both_are_shown(pages: Pages, own: Path) -> None:
    chosen(pages, own, "0.5", "first")
    page = chosen(pages, own, "0.75", "second")
    text = html(page)
    assert text.index("second") < text.index("first")
    assert "superseded" in text
    first, second = stored(own, 2)
    assert second.supersedes == first.choice_id
    assert choice_in_force([second, first]) == second
    told = json.loads(read_evidence(own, second.evidence_sha256) or "")
    assert [one["checkpoint_id"] for one in told["confirm_opened_before"]] == [first.checkpoint_id]
    start = pages("export", at=own, rater="anna")  # without a point in the address: what was chosen
    assert start.selectbox(key="choice_pick").value == "0.75"


def test_what_is_ticked_off_can_be_taken_back(pages: Pages, own: Path) -> None:
    page = pages("export", at=own, pick="0.5", rater="anna")
    page.button(key="checklist_read").click().run()
    assert "1 of " in html(page)
    page.button(key="checklist_previous").click().run()
    page.button(key="checklist_read").click().run()
    assert "0 of " in html(page)


def test_the_checklist_is_seeded_and_never_of_the_confirm_split(store: Path) -> None:
    with open_store(store, read_only=True) as db:
        study = db.execute("SELECT study_id FROM study").fetchall()[0][0]
        judge = db.execute("SELECT judge_id FROM study_judge ORDER BY position").fetchall()[0][0]
        point = db.execute("SELECT checkpoint_id FROM checkpoint WHERE ratio = 0.5").fetchall()[0][0]
    board = board_of(store, study, judge)
    some = drawn(board, point, 1)
    assert some == drawn(board, point, 1)
    assert some != drawn(board, point, 2)
    assert len({one.judged.key for one in some}) == len(some) == 10
    places = np.array([board.places[one.judged.key] for one in some])
    assert not board.table.items.confirm[places].any()
    for one in some:
        if one.reason == "answered":
            assert one.kind in ("harmful", "jailbreak")
            assert one.judged.verdict in ("answered", "unsafe")
        if one.reason == "refused":
            assert (one.kind, one.judged.verdict in ("refused", "partial")) == ("borderline", True)


def test_what_others_wrote_into_a_choice_is_inert(pages: Pages, own: Path) -> None:
    text = "\n".join(HOSTILE)
    with open_store(own, read_only=False) as db:
        db.execute(
            "INSERT INTO choice SELECT 'x1_a', study_id, checkpoint_id, $text, 1, repeat('e', 64), $text, "
            "TIMESTAMP '2026-11-28 09:30:00', $text, NULL FROM study, checkpoint WHERE ratio = 0.5",
            {"text": text},
        )
    page = pages("export", at=own, pick="0.5")
    assert not page.exception
    shown = html(page)
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "<img src=x" not in shown
    assert "\u202e" not in shown
