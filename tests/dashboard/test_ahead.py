"""What is read before the first reader comes is what the first page asks for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dashboard.points.ahead import read_ahead
from dashboard.store import board, evidence
from dashboard.store.place import STORE_VARIABLE
from tests.dashboard.conftest import Pages, html


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("worked out again")


def ahead(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE_VARIABLE, str(store))
    thread = threading.Thread(target=read_ahead)
    thread.start()
    thread.join()


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


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("content", [None, b"", b"no store"], ids=["missing", "empty", "foreign"])
def test_a_store_that_cannot_be_read_is_left_to_the_pages(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "results.duckdb"
    if content is not None:
        own.write_bytes(content)
    ahead(own, monkeypatch)
