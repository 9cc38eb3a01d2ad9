"""Progress: lines where there is no terminal, a file for other processes."""

import io
import os
import re
from pathlib import Path

import pytest

from mergescope.ground import progress
from mergescope.ground.files import read_json
from mergescope.ground.progress import Beside, Reporter


def test_a_task_ends_with_one_plain_line() -> None:
    stream = io.StringIO()
    with Reporter(stream).task("sweep", 3, "points") as task:
        for _ in range(3):
            task.advance()
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("sweep: done, 3/3 points in ")


def test_long_work_says_rate_and_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    stream = io.StringIO()
    with Reporter(stream).task("train", 10, "steps") as task:
        task.advance(5, note="loss 1.5")
    first = stream.getvalue().splitlines()[0]
    assert first.startswith("train:  50% 5/10 steps, ")
    assert "/s, 0:00 left  loss 1.5" in first


def test_other_processes_read_progress_from_a_file(tmp_path: Path) -> None:
    reporter = Reporter(file=tmp_path / "progress.json")
    reporter.stage("safe")
    with pytest.raises(RuntimeError), reporter.task("DPO", 4, "steps") as task:
        assert read_json(tmp_path / "progress.json")["state"] == "running"
        task.advance()
        raise RuntimeError
    found = read_json(tmp_path / "progress.json")
    assert (found["stage"], found["task"], found["state"], found["done"]) == ("safe", "DPO", "failed", 1)
    assert found["pid"] == os.getpid()


def test_news_is_inert() -> None:
    stream = io.StringIO()
    Reporter(stream).say("[bold]x\x1b[31m")
    assert stream.getvalue() == "[bold]x[31m\n"


def test_the_log_keeps_news_and_how_tasks_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mergescope.ground.progress.LINE_SECONDS", 0.0)
    stream = io.StringIO()
    for _ in range(2):  # a later run goes on below
        reporter = Reporter(stream, log=tmp_path / "run.log")
        reporter.say("two\nlines \x1b[31m")
        with reporter.task("DPO", 2, "steps") as task:
            task.advance()
    assert "DPO:  50% 1/2 steps" in stream.getvalue()
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line[20:].partition(" in ")[0] for line in lines] == ["twolines [31m", "DPO: done, 1/2 steps"] * 2
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", line) for line in lines)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that tasks see, in seconds, to be set."""
    now = [100.0]
    monkeypatch.setattr("mergescope.ground.progress.time.monotonic", lambda: now[0])
    return now


def test_what_an_earlier_run_did_counts_for_no_rate(clock: list[float]) -> None:
    with Reporter().task("sweep", 100, "answers") as task:
        task.found(60)
        assert task.remaining_s is None
        clock[0] += 10
        task.advance(10)
        assert (task.done, task.rate, task.remaining_s) == (70, 1.0, 30.0)


def test_the_slower_work_beside_says_how_long_it_takes(clock: list[float]) -> None:
    with Reporter().task("sweep", 100, "answers") as task:
        beside = task.beside["judged"] = Beside()
        clock[0] += 10
        task.advance(50)
        beside.grown, beside.done = 50, 10
        assert task.remaining_s == 10.0  # ten judgements tell nothing yet
        beside.done = 20
        assert task.remaining_s == 40.0  # 100 are to be expected, at two a second
        assert "judged 20/50" in task.text


def test_what_work_beside_takes_is_told(tmp_path: Path) -> None:
    with Reporter(file=tmp_path / "progress.json").task("sweep", 100, "answers") as task:
        beside = task.beside["judged"] = Beside(done=2, grown=3)
        assert task.text == "judged 2/3"
        beside.used["tokens"] += 45300
        beside.used["USD"] += 0.12345
        beside.used["JPY"] += 0
        assert task.text == "judged 2/3 (45,300 tokens, 0.1235 USD)"
    used = {"tokens": 45300, "USD": 0.12345, "JPY": 0}
    assert read_json(tmp_path / "progress.json")["beside"] == {"judged": {"done": 2, "total": 3, "used": used}}


def test_work_that_is_only_beside_has_a_remaining_time(clock: list[float]) -> None:
    with Reporter().task("sweep", 1000, "answers") as task:
        task.found(1000)
        beside = task.beside["judged"] = Beside(found=400)
        clock[0] += 10
        assert task.remaining_s is None
        beside.done = 100
        assert task.remaining_s == 30.0
        beside.done = 400
        assert task.remaining_s == 0.0


def test_found_work_is_not_scaled_by_new(clock: list[float]) -> None:
    with Reporter().task("sweep", 1003, "answers") as task:
        task.found(1000)
        beside = task.beside["judged"] = Beside(found=1000)
        clock[0] += 10
        task.advance(1)
        beside.grown, beside.done = 1, 100
        assert task.remaining_s == pytest.approx(90.3)


def test_a_bar_shows_names_as_they_are_and_nothing_that_steers(clock: list[float]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Reporter(stream).task("m[bold]\x1b[2J", 2, "judgements") as task:
        clock[0] += 10
        task.advance(note="[red]x\x1b[3J")
    shown = stream.getvalue()
    assert "m[bold]\\x1b[2J" in shown
    assert "[red]x\\x1b[3J" in shown
    assert "progress.description" not in shown
    assert "\x1b[2J" not in shown.replace("\\x1b", "")
    assert "\x1b[3J" not in shown.replace("\\x1b", "")
