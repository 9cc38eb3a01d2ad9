"""What pages left beside the results is taken in before a command writes to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.inbox.slips import inbox_of, put, waiting
from eval.store import open_store
from mergescope.inputs import check_store
from tests.eval.inbox.slips import answered, verdict
from tests.eval.synthetic_store import make_synthetic_store
from tests.mergescope.conftest import cli


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "results.duckdb"
    make_synthetic_store(path, ratios=2, prompts=12, estimates=False)
    put(path, verdict(answered(path)[0]))
    (inbox_of(path) / "x.json").write_text("hello")
    return path


def verdicts(store: Path) -> int:
    with open_store(store, read_only=True) as db:
        return int(db.execute("SELECT count(*) FROM verdict").fetchone()[0])  # type: ignore[index]


def test_the_command_says_what_it_took_in(store: Path) -> None:
    done = cli("inbox", store, cwd=store.parent)
    assert done.returncode == 0
    assert done.stdout.splitlines()[0] == "taken in: 1 verdict"
    assert done.stdout.splitlines()[1].startswith("set aside: x.json: no slip")
    assert (verdicts(store), waiting(store)) == (1, [])
    assert cli("inbox", store, cwd=store.parent).stdout == ""


def test_whatever_writes_takes_them_in_first(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_store(store)
    assert capsys.readouterr().err.startswith("inbox: taken in: 1 verdict\ninbox: set aside: x.json")
    assert verdicts(store) == 1


def test_without_results_there_is_nothing_to_take_in(tmp_path: Path) -> None:
    missing = tmp_path / "none.duckdb"
    assert cli("inbox", missing, cwd=tmp_path).returncode == 0
    inbox_of(missing).mkdir()
    put(missing, verdict(("q1_a", "t1_a")))
    done = cli("inbox", missing, cwd=tmp_path)
    assert done.returncode == 2
    assert "no results yet" in done.stderr
    assert not missing.exists()
