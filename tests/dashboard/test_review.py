"""The Review page: decisions by click, toxic text after a click alone, for one pair and one run, inert."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.people.readers import Reader
from dashboard.study.recipes import STUDIES_VARIABLE
from tests.dashboard.conftest import HOSTILE, Pages, html
from tests.mergescope.recipes import own_models, written
from tests.trainer.pairs.made import make_pair, make_set
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import Quarantine

TOXIC = "TOXIC-CANARY-4711"
SHOWN = '<div class="ms-prompt">{}</div>'


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a study beside its recipe, where the pages look for it."""
    written(tmp_path, own_models())
    monkeypatch.setenv(STUDIES_VARIABLE, str(tmp_path))
    return tmp_path / "tiny"


def statuses(pairs: PairSet) -> list[str]:
    return [one.status for one in PairSet(pairs.folder).reviewed()]


def everything(page: AppTest) -> str:
    """All that the browser is sent, and all that the session keeps."""
    return f"{page.main}{html(page)}{page.session_state}"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_it_says_what_to_run_where_no_study_has_pairs(pages: Pages, study: Path, tmp_path: Path, language: str) -> None:
    assert not study.exists()
    page = pages("review", at=tmp_path / "no-store.duckdb", lang=language)
    assert not page.exception
    assert "mergescope data make" in html(page)


def test_pairs_are_approved_dropped_and_skipped_before_there_are_results(
    pages: Pages, study: Path, tmp_path: Path
) -> None:
    pairs = make_set(study, 3)
    page = pages("review", at=tmp_path / "no-store.duckdb")
    page.text_input(key="reviewer").set_value("Aoi").run()
    assert "3 pending · 0 approved · 0 dropped" in html(page)
    assert "質問1" in html(page)
    page.button(key="approve").click().run()
    assert "質問2" in html(page)
    page.button(key="skip").click().run()
    assert "質問3" in html(page)
    page.button(key="drop").click().run()
    assert not page.exception
    assert "1 pending · 1 approved · 1 dropped" in html(page)
    assert statuses(pairs) == ["approved", "pending", "dropped"]
    assert PairSet(pairs.folder).reviewed()[0].who == "Aoi"


def test_one_goes_back_to_the_pair_before_whatever_was_decided_about_it(
    pages: Pages, study: Path, tmp_path: Path
) -> None:
    pairs = make_set(study, 2)
    page = pages("review", at=tmp_path / "no-store.duckdb")
    page.text_input(key="reviewer").set_value("Aoi").run()
    assert page.button(key="back").disabled
    page.button(key="skip").click().run()
    page.button(key="approve").click().run()  # the wrong key
    assert SHOWN.format("質問1") in html(page)
    page.button(key="back").click().run()
    assert SHOWN.format("質問2") in html(page)
    page.button(key="drop").click().run()
    assert statuses(pairs) == ["pending", "dropped"]
    page.button(key="drop").click().run()
    assert "No pair passes these filters." in html(page)
    page.button(key="back").click().run()
    page.button(key="approve").click().run()
    assert not page.exception
    assert statuses(pairs) == ["approved", "dropped"]


def test_an_informing_answer_needs_its_facts_ticked_each_time(pages: Pages, study: Path) -> None:
    pairs = make_set(study, 2, informs=True)
    page = pages("review")
    assert page.button(key="approve").disabled
    page.button(key="facts").click().run()
    page.button(key="approve").click().run()
    assert PairSet(pairs.folder).reviewed()[0].facts_verified
    assert page.button(key="facts").label.startswith("☐")  # of the next pair
    assert page.button(key="approve").disabled


def test_texts_are_edited_and_wait_again(pages: Pages, study: Path) -> None:
    pairs = make_set(study, 1)
    page = pages("review")
    page.button(key="edit").click().run()
    page.text_area[1].set_value("書き直した答え").run()
    page.button(key="save").click().run()
    one = PairSet(pairs.folder).reviewed()[0]
    assert (one.status, one.prompt, one.chosen) == ("pending", "質問1", "書き直した答え")
    assert "書き直した答え" in html(page)


def test_a_pair_changed_by_another_meanwhile_is_not_approved_unseen(pages: Pages, study: Path) -> None:
    pairs = make_set(study, 1)
    page = pages("review")
    pairs.review("p1", "edit", "Ren", datetime.now(UTC), chosen="別の答え")
    page.button(key="approve").click().run()
    assert "Ren has changed this pair meanwhile" in html(page)
    assert statuses(pairs) == ["pending"]
    assert "別の答え" in html(page)


def test_toxic_text_shows_after_a_click_for_one_pair_and_one_run(
    pages: Pages, study: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = PairSet(study / "data" / "harmful")
    for number in (1, 2):
        pairs.add(make_pair(study, number, f"{TOXIC}-{number}"))
    with caplog.at_level(logging.DEBUG):
        page = pages("review")
        assert TOXIC not in everything(page)
        page.button(key="show:harmful/p1").click().run()
        assert f"{TOXIC}-1" in html(page)
        assert f"{TOXIC}-2" not in everything(page)
        assert TOXIC not in str(page.session_state)
        page.button(key="hide").click().run()
        assert TOXIC not in everything(page)
        page.button(key="show:harmful/p1").click().run()
        page.button(key="skip").click().run()
        assert TOXIC not in everything(page)
    assert TOXIC not in caplog.text
    told = capfd.readouterr()
    assert TOXIC not in told.out + told.err


def test_hostile_texts_are_inert(pages: Pages, study: Path) -> None:
    text = "\n".join(HOSTILE)
    pairs = PairSet(study / "data" / "harmful")
    meta = {"risk-area": text, "harm-type": text, "specific-harm": text}
    pairs.add(make_pair(study, 1, text, prompt=text, chosen=text, meta=meta, made_by=text, source=text))
    page = pages("review")
    page.button(key="show:harmful/p1").click().run()
    shown = html(page)
    assert not page.exception
    assert shown.count("&lt;script&gt;") > 5
    assert not any(bad in shown for bad in ("<script>", "<img src=x", "</article></div><style>body", "\u202e", "\x1b"))


def test_deleted_text_is_said_to_be_deleted(pages: Pages, study: Path) -> None:
    make_set(study, 1)
    Quarantine(study).purge(datetime.now(UTC) + timedelta(days=1), 0, ())
    page = pages("review")
    page.button(key="show:harmful/p1").click().run()
    assert "Training data purged" in html(page)


def test_a_damaged_file_is_one_line(pages: Pages, study: Path) -> None:
    (make_set(study, 1).folder / "pairs.jsonl").write_text("{\n", encoding="utf-8")
    page = pages("review")
    assert not page.exception
    assert "pairs.jsonl:1" in html(page)


def _read_by(monkeypatch: pytest.MonkeyPatch, reader: Reader) -> None:
    monkeypatch.setattr("dashboard.people.readers.reader", lambda: reader)


def test_viewers_read_and_do_not_decide(pages: Pages, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = make_set(study, 1)
    _read_by(monkeypatch, Reader("viewer@example.org", may_edit=False, signed_in=True))
    page = pages("review")
    assert "You may read, not decide" in html(page)
    assert page.button(key="approve").disabled
    assert page.button(key="drop").disabled
    _read_by(monkeypatch, Reader("ann@example.org", may_edit=True, signed_in=True))
    page = pages("review")
    _read_by(monkeypatch, Reader("ann@example.org", may_edit=False, signed_in=True))
    page.button(key="approve").click().run()  # the button that was there for an editor
    assert "viewers may read, not decide" in html(page)
    assert [one.status for one in PairSet(pairs.folder).reviewed()] == ["pending"]


def test_a_signed_in_editor_decides_under_their_own_name(
    pages: Pages, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = make_set(study, 1)
    _read_by(monkeypatch, Reader("editor@example.org", may_edit=True, signed_in=True))
    page = pages("review")
    assert not [box for box in page.text_input if box.key == "reviewer"]
    page.button(key="approve").click().run()
    (one,) = PairSet(pairs.folder).reviewed()
    assert (one.status, one.who) == ("approved", "editor@example.org")
