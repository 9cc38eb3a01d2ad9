"""Every page on every state that a store can be in: it says what it can, and what to run."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.study.recipes import STUDIES_VARIABLE
from eval.store import open_store
from tests.dashboard.conftest import APP, Pages, html

EVERY = sorted(file.stem for file in (APP.parent / "views").glob("*.py") if file.stem != "__init__")
OF_FILES = ("review", "runs")
"""Pages that show the studies' folders and need no store."""
OF_STORE = [name for name in EVERY if name not in OF_FILES]
FIRST_POINTS = "SELECT checkpoint_id FROM checkpoint WHERE kind = 'merge' AND ratio <= 0.25"
LATE = f"checkpoint_id NOT IN ({FIRST_POINTS})"
HALF_WAY = {
    "the second point is being answered": (
        f"DELETE FROM answer WHERE {LATE} OR (checkpoint_id = (SELECT max(checkpoint_id) FROM ({FIRST_POINTS})) "
        "AND hash(answer_id) % 2 = 0)",
        f"DELETE FROM study_checkpoint WHERE {LATE}",
        "DELETE FROM estimate",
    ),
    "nothing is judged yet": ("DELETE FROM score", "DELETE FROM judgement", "DELETE FROM estimate"),
    "nothing is answered yet": (
        "DELETE FROM score", "DELETE FROM judgement", "DELETE FROM estimate", "DELETE FROM answer_turn",
        "DELETE FROM answer",
    ),
    "one point alone": ("DELETE FROM study_checkpoint WHERE checkpoint_id NOT IN "
                        "(SELECT checkpoint_id FROM checkpoint WHERE ratio = 0.5)",),
    "no references": ("DELETE FROM study_checkpoint WHERE role <> 'merge'",),
    "one point without estimates": ("DELETE FROM estimate WHERE checkpoint_id IN (SELECT checkpoint_id FROM checkpoint "
                                    "WHERE ratio = 0.5)",),
    "no confirm split": ("UPDATE set_item SET split = 'select'", "DELETE FROM estimate WHERE split <> 'all'"),
    "one kind of prompt alone": ("DELETE FROM set_item WHERE kind <> 'harmful'",
                                 "DELETE FROM estimate WHERE metric NOT IN ('safety', 'harmful_refusal_rate')"),
}  # fmt: skip
FAST = ("the second point is being answered", "one point alone")


@pytest.fixture(autouse=True)
def _no_studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "studies").mkdir()
    monkeypatch.setenv(STUDIES_VARIABLE, str(tmp_path / "studies"))


def told(page: AppTest) -> str:
    """All that a page says, code included."""
    assert not page.exception
    return "\n".join([html(page), *(code.value for code in page.code)])


def changed(store: Path, folder: Path, statements: tuple[str, ...]) -> Path:
    path = folder / "changed.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        for statement in statements:
            db.execute(statement)
    return path


@pytest.mark.parametrize("language", ["en", "ja"])
def test_no_store_yet(pages: Pages, tmp_path: Path, language: str) -> None:
    for name in EVERY:
        said = told(pages(name, at=tmp_path / "none.duckdb", lang=language))
        assert "mergescope " in said, name
        assert 'class="ms-notice"' in said, name


def test_an_empty_store(pages: Pages, tmp_path: Path) -> None:
    with open_store(tmp_path / "empty.duckdb", read_only=False):
        pass
    for name in EVERY:
        assert "mergescope " in told(pages(name, at=tmp_path / "empty.duckdb")), name


def test_a_store_of_a_newer_version(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = changed(store, tmp_path, ("INSERT INTO schema_version (name) VALUES ('999_from_the_future')",))
    for name in OF_STORE:
        said = told(pages(name, at=path))
        assert "made by a newer version" in said, name
        assert "update mergescope" in said, name
    for name in OF_FILES:
        assert "mergescope " in told(pages(name, at=path)), name


def test_a_store_of_an_older_version(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = changed(store, tmp_path, ("DELETE FROM schema_version WHERE name = (SELECT max(name) FROM schema_version)",))
    for name in OF_STORE:
        said = told(pages(name, at=path))
        assert "made by an older version" in said, name
        assert "mergescope eval" in said, name


@pytest.mark.parametrize("what", ["garbage", "nothing", "a folder"])
def test_something_that_is_no_store(pages: Pages, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.store.states.PATIENCE_S", 0.1)
    path = tmp_path / "odd.duckdb"
    if what == "a folder":
        path.mkdir()
    else:
        path.write_bytes(b"" if what == "nothing" else b"\x00\x01hello" * 1000)
    for name in OF_STORE:
        assert 'class="ms-notice"' in told(pages(name, at=path)), name


def test_a_study_without_merges(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = changed(store, tmp_path, ("DELETE FROM study_checkpoint WHERE role = 'merge'",))
    for name in OF_STORE:
        said = told(pages(name, at=path))
        assert "has not judged any merge yet" in said, name
        assert "mergescope run" in said, name


def test_a_study_without_a_judge(pages: Pages, tmp_path: Path, store: Path) -> None:
    path = changed(store, tmp_path, ("DELETE FROM study_judge", "DELETE FROM estimate"))
    for name in OF_STORE:
        assert "mergescope run" in told(pages(name, at=path)), name


@pytest.mark.parametrize("name", OF_STORE)
@pytest.mark.parametrize(
    "state", [state if state in FAST else pytest.param(state, marks=pytest.mark.deep) for state in HALF_WAY]
)
def test_half_way_through_a_run(pages: Pages, tmp_path: Path, store: Path, state: str, name: str) -> None:
    path = changed(store, tmp_path, HALF_WAY[state])
    page = pages(name, at=path)
    said = told(page)
    shown = page.get("plotly_chart") or page.code or 'class="ms-card"' in said
    assert shown or "ms-note" in said
    if name == "frontier" and state in ("nothing is judged yet", "nothing is answered yet"):
        assert "mergescope eval" in said
