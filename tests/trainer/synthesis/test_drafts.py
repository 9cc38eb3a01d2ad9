"""The file of drafts: appended to by the tool, changed by people, and read with one line for what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergescope.ground.errors import DataError
from trainer.synthesis.drafts import Drafts, draft_id
from trainer.synthesis.questions import Question
from trainer.synthesis.sources import RawText

META = {"risk-area": "甲", "harm-type": "乙", "specific-harm": "丙"}
QUESTION = Question("borderline", "質問", META, "posts.txt", None, "writer")


@pytest.fixture
def drafts(tmp_path: Path) -> Drafts:
    found = Drafts(tmp_path / "questions")
    found.add("r2_a", QUESTION, "line 3")
    found.add("r2_b", QUESTION, "line 4")
    return found


def test_what_is_added_is_pending(drafts: Drafts) -> None:
    assert [(one.draft_id, one.status, one.question) for one in drafts.all()] == [
        ("r2_a", "pending", QUESTION),
        ("r2_b", "pending", QUESTION),
    ]


def test_a_line_that_a_kill_cut_off_is_no_draft(drafts: Drafts) -> None:
    whole = drafts.path.read_bytes()
    drafts.path.write_bytes(whole + whole[:40])
    assert len(list(drafts.all())) == 2
    drafts.mend()
    assert drafts.path.read_bytes() == whole


def test_a_last_line_without_its_end_is_one(drafts: Drafts) -> None:
    whole = drafts.path.read_bytes()
    drafts.path.write_bytes(whole[:-1])
    assert len(list(drafts.all())) == 2
    drafts.mend()
    assert drafts.path.read_bytes() == whole
    drafts.add("r2_c", QUESTION, "line 5")
    assert [one.draft_id for one in drafts.all()] == ["r2_a", "r2_b", "r2_c"]


def test_there_may_be_no_file(tmp_path: Path) -> None:
    drafts = Drafts(tmp_path / "questions")
    drafts.mend()
    assert list(drafts.all()) == []
    assert not (tmp_path / "questions").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"draft_id": "r2_c", "status": "approvd"}', "`status` is not one of pending, approved, dropped"),
        ('{"draft_id": "r2_c"}', "`status` is missing"),
        ('{"draft_id": "r2_c", "status": "approved", "prompt": "質問"}', "`meta` is not usable"),
        ('{"draft_id": "r2_c", "status": }', "not readable"),
        ('{"status": "pending", "status": "approved"}', "`status` stands twice"),
        ("[]", "not a JSON object"),
        ("\\xff", "not readable"),
    ],
)
def test_what_people_got_wrong_is_named(drafts: Drafts, line: str, words: str) -> None:
    drafts.path.write_bytes(drafts.path.read_bytes() + line.encode().replace(b"\\xff", b"\xff") + b"\n")
    with pytest.raises(DataError) as error:
        list(drafts.all())
    assert error.value.line().startswith(f"{drafts.path}:3: ")
    assert words in error.value.line()


def test_a_text_is_known_by_what_it_says_and_what_it_is_for() -> None:
    one = RawText("甲", "harmful", "a.txt", "line 1", None)
    assert draft_id(one) == draft_id(RawText("甲", "harmful", "b.txt", "line 9", "CC0-1.0"))
    assert draft_id(one) != draft_id(RawText("甲", "borderline", "a.txt", "line 1", None))
