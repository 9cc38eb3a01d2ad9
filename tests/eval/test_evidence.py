"""The log of looks at confirm splits, and the evidence of choices."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from eval.evidence import OPENINGS, Opening, choices_folder, keep_evidence, note_opening, openings, read_evidence
from mergescope.ground.errors import MergescopeError
from mergescope.ground.ids import full_hash

AT = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)


def look(number: int = 0, **values: object) -> Opening:
    given = {"study_id": "y1_a", "checkpoint_id": f"c1_{number}", "judge_id": "j1_a", "select_sha256": "0" * 64}
    return Opening.model_validate({**given, "who": "anna", "at": AT + timedelta(minutes=number), **values})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "results.duckdb"


def test_the_first_look_at_some_numbers_is_the_one_that_counts(store: Path) -> None:
    assert openings(store) == []
    first = note_opening(store, look())
    later = look(who="ben", at=AT + timedelta(days=1))
    assert note_opening(store, later) == first
    other = look(select_sha256="1" * 64)  # the point has new numbers
    assert note_opening(store, other) == other
    assert openings(store) == [first, other]


def test_a_line_that_a_kill_has_cut_is_no_look(store: Path) -> None:
    first = note_opening(store, look())
    log = choices_folder(store) / OPENINGS
    log.write_bytes(log.read_bytes() + b'{"study_id": "y1_a", "chec')
    assert openings(store) == [first]
    second = note_opening(store, look(1))
    assert openings(store) == [first, second]


def test_a_log_that_somebody_wrote_into_is_refused(store: Path) -> None:
    note_opening(store, look())
    log = choices_folder(store) / OPENINGS
    log.write_bytes(log.read_bytes() + b"{}\n")
    with pytest.raises(MergescopeError, match=r"openings\.jsonl:2"):
        openings(store)


def test_many_who_look_at_once_lose_no_line(store: Path) -> None:
    threads = [threading.Thread(target=note_opening, args=(store, look(number % 10))) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.checkpoint_id for one in openings(store)) == [f"c1_{number}" for number in range(10)]


def test_nobody_else_may_read_them(store: Path) -> None:
    note_opening(store, look())
    digest = keep_evidence(store, {"format": 1})
    folder = choices_folder(store)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.name: file.stat().st_mode & 0o777 for file in folder.iterdir()} == {
        OPENINGS: 0o600,
        f"evidence-{digest}.json": 0o600,
    }


def test_evidence_is_found_by_its_hash_alone(store: Path) -> None:
    value = {"format": 1, "select": {"safety": {"value": 4.25, "n": 70}}}
    digest = keep_evidence(store, value)
    assert digest == full_hash(value)
    text = read_evidence(store, digest)
    assert text == '{"format":1,"select":{"safety":{"n":70,"value":"4.25"}}}'
    file = choices_folder(store) / f"evidence-{digest}.json"
    file.write_text(text.replace("4.25", "4.95"), encoding="utf-8")
    assert read_evidence(store, digest) is None
    assert read_evidence(store, "../x") is None
    assert read_evidence(store, "0" * 64) is None
