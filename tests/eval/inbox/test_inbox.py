"""The inbox: slips are taken in once, whatever is killed or runs twice, and nothing that lies there is lost."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from eval.inbox.slips import inbox_of, put, waiting
from eval.inbox.taking import Taken, take_in
from eval.store import open_store, store_revision
from mergescope.ground.errors import MergescopeError, StoreError
from tests.eval.inbox.slips import answered, choice, verdict
from tests.eval.synthetic_store import make_synthetic_store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "results.duckdb"
    make_synthetic_store(path, ratios=2, prompts=12, estimates=False)
    return path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "results.duckdb"))


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    with open_store(store, read_only=True) as db:
        return db.execute(query).fetchall()


def test_slips_become_rows_and_leave_the_inbox(store: Path) -> None:
    first, second = answered(store)[:2]
    slip, sampled = (
        verdict(first),
        verdict(second, axis="refusal", value=None, label="full", blind=True, p_selected=0.2),
    )
    study, checkpoint = rows(store, "SELECT study_id, checkpoint_id FROM study_checkpoint LIMIT 1")[0]
    for one in (slip, slip, sampled, choice(study, checkpoint)):
        put(store, one)
    assert len(waiting(store)) == 3
    with open_store(store, read_only=True) as db:
        before = store_revision(db)
    assert take_in(store) == Taken(2, 1, [])
    assert waiting(store) == []
    assert rows(store, "SELECT verdict_id, axis, value, label, p_selected, made_at FROM verdict ORDER BY axis") == [
        (sampled.id, "refusal", None, "full", 0.2, sampled.made_at.replace(tzinfo=None)),
        (slip.id, "safety", 4.0, None, None, slip.made_at.replace(tzinfo=None)),
    ]
    assert rows(store, "SELECT rule, note, store_revision FROM choice") == [('{"objective": "balance"}', "良い", 3)]
    with open_store(store, read_only=True) as db:
        assert store_revision(db) > before  # or pages would not look again


def test_the_inbox_is_for_its_owner_alone(store: Path) -> None:
    inbox_of(store).mkdir(mode=0o755)
    path = put(store, verdict(answered(store)[0]))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("make", [lambda p: p.write_text("x"), lambda p: p.symlink_to(p.parent)])
def test_an_inbox_that_is_no_folder_is_refused(store: Path, make: Any) -> None:
    make(inbox_of(store))
    with pytest.raises(MergescopeError, match="inbox"):
        put(store, verdict(answered(store)[0]))


def test_a_slip_that_is_taken_in_again_is_one_row(store: Path) -> None:
    slip = verdict(answered(store)[0])
    put(store, slip)
    take_in(store)
    again = put(store, slip)
    shutil.copy(again, again.with_name("copied by somebody.json"))
    take_in(store)
    assert rows(store, "SELECT count(*) FROM verdict") == [(1,)]


KILLED = """
import os, signal, sys
from pathlib import Path
from eval.inbox.taking import take_in
Path.unlink = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
take_in(Path(sys.argv[1]))
"""


def test_a_kill_between_commit_and_delete_gives_no_double(store: Path) -> None:
    for number, answer in enumerate(answered(store)[:3]):
        put(store, verdict(answer, number))
    done = subprocess.run([sys.executable, "-c", KILLED, str(store)], check=False)
    assert done.returncode == -9
    assert len(waiting(store)) == 3
    assert rows(store, "SELECT count(*) FROM verdict") == [(3,)]
    assert take_in(store).verdicts == 3
    assert waiting(store) == []
    assert rows(store, "SELECT count(*) FROM verdict") == [(3,)]


def test_two_takers_at_once_do_no_harm(store: Path) -> None:
    answers = answered(store)
    for number in range(120):
        put(store, verdict(answers[number % len(answers)], number))
    (inbox_of(store) / "broken.json").write_text("{")
    command = [sys.executable, "-m", "mergescope", "inbox", str(store)]
    takers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for number in range(120, 160):
        put(store, verdict(answers[number % len(answers)], number))
    for taker in takers:
        told = taker.communicate()
        assert taker.returncode == 0, told
    take_in(store)
    assert rows(store, "SELECT count(*), count(DISTINCT verdict_id) FROM verdict") == [(160, 160)]
    assert [path.name for path in inbox_of(store).iterdir()] == ["aside"]
    assert sorted(path.name for path in (inbox_of(store) / "aside").iterdir()) == ["broken.json", "broken.json.why"]


def _said(slip: Any, **changed: Any) -> str:
    return json.dumps({**json.loads(slip.model_dump_json()), **changed})


def test_what_is_no_slip_is_set_aside_with_one_line_and_kept(store: Path) -> None:
    inbox = inbox_of(store)
    slip = verdict(answered(store)[0])
    put(store, slip)
    files = {
        "empty.json": "",
        "foreign.txt": "hello",
        "list.json": "[1]",
        "nan.json": _said(slip).replace("4.0", "NaN"),
        "unknown.json": _said(slip, colour="red"),
        "later.json": _said(slip, form="verdict/2"),
        "range.json": _said(slip, value=6),
        "naive.json": _said(slip, made_at="2026-11-28T12:00:00"),
        "year.json": _said(slip, made_at="0001-01-01T00:00:00+14:00"),
        "steer\x1b[31m.json": _said(slip, rater="anna\x1b[31m"),
        "elsewhere.json": _said(slip, text_id="t1_" + "0" * 32),
        "long.json": _said(slip) + " " * 70_000,
    }
    for name, text in files.items():
        (inbox / name).write_text(text)
    (inbox / "link.json").symlink_to(store)
    (inbox / "folder.json").mkdir()
    os.mkfifo(inbox / "pipe.json")
    taken = take_in(store)
    assert taken.verdicts == 1
    assert len(taken.aside) == len(files) + 3
    assert all("\x1b" not in line and "\n" not in line for line in taken.lines())
    for name, text in files.items():
        assert (inbox / "aside" / name).read_text() == text
        assert (inbox / "aside" / f"{name}.why").read_text().count("\n") == 1
    assert "the store has no text" in (inbox / "aside" / "elsewhere.json.why").read_text()
    assert "value" in (inbox / "aside" / "range.json.why").read_text()
    assert (inbox / "aside" / "link.json").is_symlink()
    assert waiting(store) == []


def test_what_is_set_aside_replaces_nothing(store: Path) -> None:
    for text in ("one", "two"):
        inbox_of(store).mkdir(mode=0o700, exist_ok=True)
        (inbox_of(store) / "x.json").write_text(text)
        take_in(store)
    aside = inbox_of(store) / "aside"
    assert [(aside / name).read_text() for name in ("x.json", "x.json.2")] == ["one", "two"]


def test_slips_wait_for_a_store_that_is_held_or_missing(store: Path, tmp_path: Path) -> None:
    put(store, verdict(answered(store)[0]))
    with open_store(store, read_only=True), pytest.raises(StoreError, match="held"):  # a page reads just now
        take_in(store, patience_s=0.1)
    assert len(waiting(store)) == 1
    store.rename(tmp_path / "away.duckdb")
    with pytest.raises(StoreError, match="no results yet"):
        take_in(store)
    assert not store.exists()
    assert len(waiting(store)) == 1


def test_half_written_slips_do_not_count(store: Path) -> None:
    inbox_of(store).mkdir(mode=0o700)
    (inbox_of(store) / ".verdict.x.part").write_text("{")
    assert take_in(store) == Taken(0, 0, [])
    assert (inbox_of(store) / ".verdict.x.part").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"label": "full"},
        {"value": None},
        {"value": 0.5},
        {"axis": "correct", "value": None, "label": "right"},
        {"axis": "colour"},
        {"rater": " "},
        {"rater": "a" * 65},
        {"p_selected": 0.0},
    ],
)
def test_a_verdict_says_one_thing(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        verdict(("q1_a", "t1_a"), **changed)


def test_a_verdict_can_be_taken_back() -> None:
    first = verdict(("q1_a", "t1_a"))
    back = verdict(("q1_a", "t1_a"), 1, value=None, supersedes=first.id)
    assert back.id != first.id
    assert back.id == verdict(("q1_a", "t1_a"), 1, value=None, supersedes=first.id).id
