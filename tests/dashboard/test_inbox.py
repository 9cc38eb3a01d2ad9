"""What a reader says in a page is shown at once and reaches the store without the page writing to it."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest

from dashboard.people import inbox
from dashboard.store.place import STORE_VARIABLE
from eval.inbox.slips import VerdictSlip, waiting
from eval.inbox.taking import verdict_row
from eval.people import in_force, verdicts
from eval.store import open_store
from tests.eval.inbox.slips import answered, verdict

SLOW_TO_END = """
import pathlib, runpy, sys, time
sys.argv = sys.argv[2:]
try:
    runpy.run_module("mergescope", run_name="__main__")
finally:
    pathlib.Path({late!r}).touch()
    time.sleep(3)
"""
"""What `python -m mergescope` does, with time between the work's end and the process's."""


@pytest.fixture
def own(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of this test's own, which the pages show."""
    path = Path(shutil.copy(store, tmp_path / "results.duckdb"))
    monkeypatch.setenv(STORE_VARIABLE, str(path))
    return path


def emptied(store: Path, seconds: float = 60.0) -> None:
    """Wait until the process that a page started has taken everything in."""
    deadline = time.monotonic() + seconds
    while waiting(store):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_slip_is_seen_until_the_store_shows_it(own: Path) -> None:
    slip = verdict(answered(own)[0])
    inbox.send(slip)
    assert inbox.not_yet(VerdictSlip, ()) == [slip]
    emptied(own)
    assert inbox.not_yet(VerdictSlip, ()) == [slip]  # the page still shows the store as it was before
    with open_store(own, read_only=True) as db:
        found = verdicts(db, db.execute("SELECT study_id FROM study").fetchone()[0])  # type: ignore[index]
    assert [row.verdict_id for row in found] == [slip.id]
    assert inbox.not_yet(VerdictSlip, {slip.id}) == []
    assert inbox.not_yet(VerdictSlip, ()) == []


def test_a_slip_that_comes_when_the_process_has_looked_for_the_last_time_is_taken_in(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = tmp_path / "late"
    code = tmp_path / "slow_to_end.py"
    code.write_text(SLOW_TO_END.format(late=str(late)))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{code}" "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    first, second = answered(own)[:2]
    inbox.send(verdict(first))
    deadline = time.monotonic() + 60
    while not late.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    inbox.send(verdict(second))
    emptied(own)


def test_a_slip_that_is_set_aside_is_shown_no_longer(own: Path) -> None:
    inbox.send(verdict(("q1_none", "t1_none")))
    emptied(own)
    assert inbox.not_yet(VerdictSlip, ()) == []
    assert [line for line in inbox.set_aside() if "the store has no" in line]


def test_the_last_word_counts_and_one_before_the_judges_stays(own: Path) -> None:
    answer = answered(own)[0]
    blind = verdict(answer, 0, value=2.0, seen_judge=False, blind=True)
    first = verdict(answer, 1)
    second = verdict(answer, 2, value=5.0, supersedes=first.id)
    other = verdict(answer, 3, rater="ben", value=1.0)
    back = verdict(answer, 4, rater="ben", value=None, supersedes=other.id)
    rows = [verdict_row(slip) for slip in (back, second, other, first, blind)]
    assert [(row.rater, row.value) for row in in_force(rows)] == [("anna", 2.0), ("anna", 5.0)]


def test_why_slips_still_wait_is_told(own: Path) -> None:
    with open_store(own, read_only=False) as db:
        db.execute("INSERT INTO schema_version (name) VALUES ('999_later')")
    inbox.send(verdict(("q1_any", "t1_any")))
    deadline = time.monotonic() + 60
    while not inbox.set_aside():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "newer" in inbox.set_aside()[0]
    assert len(waiting(own)) == 1
