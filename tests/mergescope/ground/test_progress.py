"""Progress: lines where there is no terminal, a file for other processes."""

import io
import os
from pathlib import Path

import pytest

from mergescope.ground import progress
from mergescope.ground.files import read_json
from mergescope.ground.progress import Reporter


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
