"""Reviewing in a real terminal: keys decide, toxic text shows on demand alone and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.mergescope.conftest import ROOT, cli
from tests.mergescope.recipes import own_models, written
from tests.trainer.pairs.made import make_pair, make_set
from trainer.pairs.pair_set import PairSet
from trainer.quarantine_lock import InUseError
from trainer.retention import delete_unused

TOXIC = "TOXIC-CANARY-4711"
CLEAR = "\x1b[H\x1b[2J\x1b[3J"
LEAVE = "\x1b[?1049l"


class Person:
    """Somebody at a terminal."""

    def __init__(self, end: int, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._end = end
        self.seen = ""
        """All that the terminal was sent."""
        self._mark = 0

    def sees(self, text: str) -> None:
        """Wait until the text comes; what came before the last key does not count."""
        deadline = time.monotonic() + 30
        while text not in self.seen[self._mark :]:
            assert time.monotonic() < deadline, f"{text!r} never came: {self.seen[self._mark :]!r}"
            self._read()

    def types(self, key: str) -> None:
        self._mark = len(self.seen)
        os.write(self._end, key.encode())

    def ends(self) -> int:
        deadline = time.monotonic() + 30
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self._read()
        self._read()
        return self.process.returncode

    def _read(self) -> None:
        if select.select([self._end], [], [], 0.1)[0]:
            with contextlib.suppress(OSError):  # the other end is closed
                self.seen += os.read(self._end, 65536).decode("utf-8", "replace")


def _as_on_a_terminal() -> None:
    """A job in the background or under nohup ignores some of these, and its children do too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def person(recipe: Path, *options: str, **environment: str) -> Iterator[Person]:
    """Reviewing a study as Aoi."""
    end, other = pty.openpty()
    command = [sys.executable, "-m", "mergescope", "data", "review", str(recipe), "--by", "Aoi", *options]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "LINES": "40", "COLUMNS": "100", **environment}
    process = subprocess.Popen(
        command,
        preexec_fn=_as_on_a_terminal,
        stdin=other,
        stdout=other,
        stderr=other,
        env=surroundings,
    )
    os.close(other)
    try:
        yield Person(end, process)
    finally:
        process.kill()
        process.wait()
        os.close(end)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return written(tmp_path, own_models())


@contextmanager
def person_who_sees_it(recipe: Path, folder: Path) -> Iterator[Person]:
    """The same with one pair, whose toxic side is on the screen."""
    study = folder / "tiny"
    PairSet(study / "data" / "harmful").add(make_pair(study, rejected=TOXIC))
    with person(recipe) as aoi:
        aoi.sees("answer to avoid")
        aoi.types("t")
        aoi.sees(TOXIC)
        yield aoi


def test_keys_decide_and_the_next_review_goes_on(recipe: Path, tmp_path: Path) -> None:
    pairs = make_set(tmp_path / "tiny", 4)
    with person(recipe) as aoi:
        aoi.sees("1/4 · harmful: 4 pending, 0 approved, 0 dropped · Aoi")
        aoi.sees("質問1")
        aoi.types("a")
        aoi.sees("2/4 · harmful: 3 pending, 1 approved")
        aoi.types("d")
        aoi.sees("3/4")
        aoi.types("s")
        aoi.sees("4/4")
        aoi.types("b")
        aoi.sees("質問3")
        aoi.types("q")
        assert aoi.ends() == 0
    assert "this time: 1 x approve, 1 x drop" in aoi.seen
    assert [one.status for one in PairSet(pairs.folder).reviewed()] == ["approved", "dropped", "pending", "pending"]
    assert PairSet(pairs.folder).reviewed()[0].who == "Aoi"
    with person(recipe) as aoi:
        aoi.sees("1/2 · harmful: 2 pending, 1 approved, 1 dropped")
        aoi.sees("質問3")


def test_facts_must_be_ticked_before_an_informing_answer_is_approved(recipe: Path, tmp_path: Path) -> None:
    pairs = make_set(tmp_path / "tiny", 1, informs=True)
    with person(recipe) as aoi:
        aoi.sees("FACTS NOT VERIFIED")
        aoi.types("a")
        aoi.sees("nobody vouches for the facts")
        aoi.types("f")
        aoi.sees("facts verified")
        aoi.types("a")
        assert aoi.ends() == 0
    assert PairSet(pairs.folder).reviewed()[0].facts_verified


def test_the_toxic_side_shows_after_a_key_and_is_cleared(recipe: Path, tmp_path: Path) -> None:
    study = tmp_path / "tiny"
    pairs = PairSet(study / "data" / "harmful")
    pairs.add(make_pair(study, rejected=f"{TOXIC}\x1b]0;owned\x07\u202e"))
    with person(recipe) as aoi:
        aoi.sees("answer to avoid: hidden")
        assert TOXIC not in aoi.seen
        aoi.types("t")
        aoi.sees(f"{TOXIC}\\x1b]0;owned\\x07\\u202e")  # made visible, so that it steers nothing
        aoi.types("x")
        aoi.sees("answer to avoid: hidden")
        shown = aoi.seen.index(TOXIC)
        assert CLEAR in aoi.seen[shown:]
        assert TOXIC not in aoi.seen[shown + len(TOXIC) :]
        aoi.types("q")
        assert aoi.ends() == 0
    assert aoi.seen.index(LEAVE) > shown
    assert "\x1b]0;" not in aoi.seen


def test_an_interrupt_while_toxic_text_shows_clears_it(recipe: Path, tmp_path: Path) -> None:
    with person_who_sees_it(recipe, tmp_path) as aoi:
        aoi.process.send_signal(signal.SIGINT)
        assert aoi.ends() == 0
    assert aoi.seen.rindex(CLEAR + LEAVE) > aoi.seen.rindex(TOXIC)


def test_nothing_is_deleted_while_somebody_reviews(recipe: Path, tmp_path: Path) -> None:
    make_set(tmp_path / "tiny", 1)
    with person(recipe) as aoi:
        aoi.sees("1/1")
        with pytest.raises(InUseError, match=f"by process {aoi.process.pid}"):
            delete_unused(tmp_path / "tiny", datetime.now(UTC), 0)
        aoi.types("q")
        assert aoi.ends() == 0
    assert len(delete_unused(tmp_path / "tiny", datetime.now(UTC), 0)) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_that_ends_it_while_toxic_text_shows_clears_it(
    recipe: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with person_who_sees_it(recipe, tmp_path) as aoi:
        aoi.process.send_signal(number)
        assert aoi.ends() == 128 + number
    assert aoi.seen.rindex(CLEAR + LEAVE) > aoi.seen.rindex(TOXIC)
    assert "Traceback" not in aoi.seen


def test_it_is_not_stopped_while_toxic_text_shows(recipe: Path, tmp_path: Path) -> None:
    with person_who_sees_it(recipe, tmp_path) as aoi:
        aoi.process.send_signal(signal.SIGTSTP)
        aoi.types("x")
        aoi.sees("answer to avoid: hidden")
        aoi.types("q")
        assert aoi.ends() == 0


def test_it_ends_quietly_where_its_terminal_hangs_up(recipe: Path, tmp_path: Path) -> None:
    make_set(tmp_path / "tiny", 1)
    end, other = pty.openpty()
    command = [sys.executable, "-m", "mergescope", "data", "review", str(recipe), "--by", "Aoi"]
    with (tmp_path / "told").open("wb") as told:
        process = subprocess.Popen(
            command,
            preexec_fn=_as_on_a_terminal,
            stdin=other,
            stdout=other,
            stderr=told,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    os.close(other)
    aoi = Person(end, process)
    aoi.sees("answer to avoid")
    os.close(end)
    process.send_signal(signal.SIGHUP)  # the system sends it to whoever leads the terminal's session
    process.wait(30)
    assert "Traceback" not in (tmp_path / "told").read_text(encoding="utf-8")


def test_texts_are_edited_in_the_users_editor(recipe: Path, tmp_path: Path) -> None:
    pairs = make_set(tmp_path / "tiny", 1)
    with person(recipe, EDITOR="sed -i s/お断りします。1/書き直した答え/") as aoi:
        aoi.sees("お断りします。1")
        aoi.types("e")
        aoi.sees("書き直した答え")
        aoi.sees("0 approved")
        aoi.types("a")
        assert aoi.ends() == 0
    one = PairSet(pairs.folder).reviewed()[0]
    assert (one.status, one.prompt, one.chosen) == ("approved", "質問1", "書き直した答え")


def test_an_editor_that_fails_changes_nothing(recipe: Path, tmp_path: Path) -> None:
    pairs = make_set(tmp_path / "tiny", 1)
    with person(recipe, EDITOR="false") as aoi:
        aoi.sees("1/1")
        aoi.types("e")
        aoi.sees("not changed")
    assert PairSet(pairs.folder).reviewed()[0].at is None


def test_deleted_text_is_said_to_be_deleted(recipe: Path, tmp_path: Path) -> None:
    make_set(tmp_path / "tiny", 1)
    assert cli("purge", recipe, "--now", "--yes", cwd=tmp_path).returncode == 0
    with person(recipe) as aoi:
        aoi.sees("1/1")
        aoi.types("t")
        aoi.sees("training data purged")


def test_without_a_terminal_or_pairs_it_says_so(recipe: Path, tmp_path: Path) -> None:
    assert "has no made pairs" in cli("data", "review", recipe, cwd=tmp_path).stderr
    make_set(tmp_path / "tiny", 1)
    assert "needs a terminal" in cli("data", "review", recipe, cwd=tmp_path).stderr
    assert "use harmful" in cli("data", "review", recipe, "--set", "other", cwd=tmp_path).stderr
    assert "no such kind" in cli("data", "review", recipe, "--kind", "bad", cwd=tmp_path).stderr
