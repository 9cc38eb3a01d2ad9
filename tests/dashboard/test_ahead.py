"""What is read before the first reader comes is what the first page asks for."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from dashboard.points.ahead import read_ahead
from dashboard.store import board, evidence, queries, source, states
from dashboard.store.place import STORE_VARIABLE
from eval.store import open_store
from tests.dashboard.conftest import Pages, html


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("worked out again")


def ahead(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "AHEAD", [])
    monkeypatch.setenv(STORE_VARIABLE, str(store))
    thread = threading.Thread(target=read_ahead)
    thread.start()
    thread.join()


def points() -> int:
    """Merges of the state that pages show."""
    source.look()
    [study] = source.ask(queries.studies)
    return sum(one.ratio is not None for one in source.ask(queries.checkpoints, study.study_id))


def test_the_first_page_finds_the_answers_and_the_recommended_point(
    pages: Pages, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "results.duckdb"
    own.write_bytes(store.read_bytes())
    ahead(own, monkeypatch)
    monkeypatch.setattr(evidence, "recommended", refuse)
    monkeypatch.setattr(board, "read_pieces", refuse)
    page = pages("frontier", at=own)
    assert not page.exception
    assert "best" in html(page).lower()


def test_a_point_that_joins_is_weighed_before_pages_show_it(
    pages: Pages, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A running sweep adds points, so that what pages asked of the last state is not what they ask of the next."""
    own = tmp_path / "results.duckdb"
    own.write_bytes(store.read_bytes())
    with open_store(own, read_only=False) as db:
        [(last,)] = db.execute("SELECT checkpoint_id FROM checkpoint WHERE ratio = 1 AND kind = 'merge'").fetchall()
        row = db.execute("SELECT * FROM study_checkpoint WHERE checkpoint_id = ?", [last]).fetchall()[0]
        db.execute("DELETE FROM study_checkpoint WHERE checkpoint_id = ?", [last])
    ahead(own, monkeypatch)
    monkeypatch.setattr(states, "SLOW_S", -1.0)
    monkeypatch.setattr(states, "REST", 0)
    assert points() == 4
    with open_store(own, read_only=False) as db:
        db.execute(f"INSERT INTO study_checkpoint VALUES ({', '.join('?' * len(row))})", list(row))
        db.execute("UPDATE revision SET counter = counter + 1")
    deadline = time.monotonic() + 60
    while points() == 4:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    monkeypatch.setattr(evidence, "recommended", refuse)
    monkeypatch.setattr(board, "read_pieces", refuse)
    assert not pages("frontier", at=own).exception


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("content", [None, b"", b"no store"], ids=["missing", "empty", "foreign"])
def test_a_store_that_cannot_be_read_is_left_to_the_pages(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "results.duckdb"
    if content is not None:
        own.write_bytes(content)
    ahead(own, monkeypatch)
