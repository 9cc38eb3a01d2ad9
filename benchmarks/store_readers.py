"""Pages that read results.duckdb while a sweep writes it: failed reads, waits, and what they cost the sweep.

    python -m benchmarks.store_readers [--commits 120] [--readers 4] [--merges 63 --prompts 3000] [--work FOLDER]

Prints and writes benchmarks/results/store_readers.json with machine and versions. A writer process commits as a sweep
does (`eval.writer.StoreWriter`, at most once a second), a fixed number of commits of 200 answers, their judgements and
scores, into a store that already holds 189,000 answers. It does so alone, and again while readers poll every 200 ms:
each a process that goes through the pages' own `dashboard.store.source` (look, then the page's queries from its cache
or the store). All show header and frontier (studies, judges, checkpoints, overview, estimates), the last one the
recommendation as well. A page is one poll; a hold is the time that a reader kept the file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.big_store import AXES, JUDGE, LABELS, SAMPLING, STUDY, Size, checkpoint_values, make_big_store
from benchmarks.measured_on import cpu, versions
from eval.rows import AnswerRow, AnswerTurnRow, CheckpointRow, JudgementRow, Row, ScoreRow, StudyCheckpointRow, TextRow
from eval.writer import StoreWriter, Touched

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "store_readers.json"
POLL_S = 0.2
HOLD_LIMIT_S = 0.05
ANSWERS = 200
"""Answers of one commit."""
TARGETS = {"failed_reads": 0, "slow_down": 0.05}
LIBRARIES = ("duckdb", "streamlit")


class Openings:
    """Every opening of the store by this process: how long it waited for the file, and how long it kept it."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []
        self.holds_s: list[float] = []
        self._connect = duckdb.connect
        self._asked: float | None = None

    def connect(self, *args: Any, **kwargs: Any) -> Any:
        """duckdb.connect with a clock on it; tries that fail belong to the wait of the one that succeeds."""
        started = time.monotonic()
        self._asked = self._asked or started
        connection = self._connect(*args, **kwargs)
        self.waits_s.append(started - self._asked)
        self._asked = None
        return connection

    @contextmanager
    def watched(self, reading: Any) -> Iterator[Any]:
        """The block of a page's read: to enter it is to wait for the file and to attach it, which takes 2 ms."""
        asked = time.monotonic()
        with reading as connection:
            got = time.monotonic()
            self.waits_s.append(got - asked)
            yield connection
        self.holds_s.append(time.monotonic() - got)


def write(store: Path, commits: int, started_at: Path) -> dict[str, Any]:
    """Commit a fixed amount of work as a sweep does; seconds of the whole and of each commit."""
    openings = Openings()
    duckdb.connect = openings.connect
    with duckdb.connect(str(store), read_only=True) as db:
        kinds = dict(db.execute("SELECT prompt_id, kind FROM set_item ORDER BY prompt_id").fetchall())
    prompts = list(kinds.items())
    batches = [commit_rows(prompts, number) for number in range(commits)]
    openings.waits_s.clear()
    writer = StoreWriter(store)
    commits_s: list[float] = []
    started_at.touch()
    started = ended = time.monotonic()
    for number, rows in enumerate(batches):
        writer.add(rows, [Touched(rows[0].checkpoint_id, JUDGE, name) for name in ("s1_first", "s1_second")])
        pause = max(0.0, ended + 1.0 - time.monotonic()) if number else 0.0
        asked = time.monotonic()
        writer.flush(wait=True)
        ended = time.monotonic()
        commits_s.append(ended - asked - pause)
    return {
        "rows": sum(map(len, batches)),
        "wall_s": ended - started,
        "commits_s": commits_s,
        "waits_s": openings.waits_s,
    }


def commit_rows(prompts: Sequence[tuple[str, str]], number: int) -> list[Any]:
    """200 answers of a new merge with all that belongs to them; the first row is the merge's."""
    first = number * ANSWERS
    checkpoint = f"c1_new{first // len(prompts):029x}"
    ratio = round(Decimal(first // len(prompts)) / 100_000 + Decimal("0.9999"), 6)
    rows: list[Row] = [
        CheckpointRow(*checkpoint_values(checkpoint, ratio)),  # type: ignore[arg-type]
        StudyCheckpointRow(STUDY, checkpoint, "merge", SAMPLING, 1),
    ]
    for place in range(first, first + ANSWERS):
        prompt_id, kind = prompts[place % len(prompts)]
        name = hashlib.md5(f"{checkpoint}{prompt_id}{place}".encode()).hexdigest()
        text, raw, judgement = f"x1_{name}", f"x1_raw{name[3:]}", f"v1_{name}"
        rows += [
            AnswerRow(f"a1_{name}", checkpoint, prompt_id, SAMPLING, 0, None, text),
            TextRow(text, f"{name} " * 8),
            AnswerTurnRow(f"a1_{name}", 0, text, "stop", 60),
            TextRow(raw, json.dumps({axis: {"reason": name, "grade": 4} for axis in AXES[kind]})),
            JudgementRow(judgement, JUDGE, prompt_id, kind, text, None, 0, "served", raw, 360, None, None),
        ]
        for axis in AXES[kind]:
            value, label = (None, LABELS[axis][0]) if axis in LABELS else (4.0, None)
            rows.append(ScoreRow(judgement, axis, value, label, f"because of {name}"))
    return rows


def read(store: Path, stop: Path, *, largest: bool) -> dict[str, Any]:
    """Show a page every 200 ms until `stop` is there: each page's seconds, each hold, and every failure's line."""
    logging.disable(logging.WARNING)  # Streamlit's, that no browser is there
    import dashboard.store.source
    from dashboard.store.place import STORE_VARIABLE
    from dashboard.store.reader import Reader
    from mergescope.ground.errors import StoreError

    os.environ[STORE_VARIABLE] = str(store)
    openings = Openings()
    source: Any = dashboard.store.source
    reading = Reader.reading
    Reader.reading = lambda self, patience_s: openings.watched(reading(self, patience_s))  # type: ignore[method-assign]
    pages_s: list[float] = []
    failures: list[str] = []
    parent = os.getppid()
    while not stop.exists() and os.getppid() == parent:  # nobody is left to read for where the benchmark was ended
        started = time.monotonic()
        try:
            _page(source, largest=largest)
        except StoreError as error:
            failures.append(error.line())
        pages_s.append(time.monotonic() - started)
        time.sleep(max(0.0, POLL_S - pages_s[-1]))
    return {
        "pages_s": pages_s,
        "holds_s": openings.holds_s,
        "waits_s": openings.waits_s,
        "failures": failures,
        "largest": largest,
    }


def _page(source: Any, *, largest: bool) -> None:
    from dashboard.store import evidence, queries

    source.look()
    study = source.ask(queries.studies)[0].study_id
    judge = source.ask(queries.judges, study)[0].judge_id
    merges = [one.checkpoint_id for one in source.ask(queries.checkpoints, study)]
    source.ask(queries.estimates, study, judge, "all", "all")
    source.reckon(queries.overview, study, judge, source.ask(queries.grid, study))
    if largest:
        source.reckon(evidence.under_rule, study, judge, "max safety", merges, 0)


def run(room: Path, original: Path, commits: int, readers: int) -> dict[str, Any]:
    """One round on a copy of the store: the writer's numbers, and the readers' where there are any."""
    room.mkdir()
    store = room / "results.duckdb"
    shutil.copy(original, store)
    stop, started_at = room / "stop", room / "started"
    reading = [
        _start("--read", store, stop, *(["--largest"] if number == readers - 1 else [])) for number in range(readers)
    ]
    time.sleep(5.0 if readers else 0.0)  # their imports
    writer = _result(_start("--write", store, started_at, "--commits", commits))
    stop.touch()
    found = [_result(process) for process in reading]
    shutil.rmtree(room)
    return {"writer": writer, "readers": found}


def summary(rounds: Sequence[dict[str, Any]], alone: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All rounds put together; times in milliseconds where named so."""
    rate, rate_alone = (statistics.median(_rate(one) for one in some) for some in (rounds, alone))
    readers = [reader for one in rounds for reader in one["readers"]]
    holds = [hold for reader in readers for hold in reader["holds_s"]]
    failures = [line for reader in readers for line in reader["failures"]]
    slow_down = 1 - rate / rate_alone
    return {
        "writer_alone": {"rows_per_s": round(rate_alone, 1), **_writer(alone)},
        "writer_with_readers": {"rows_per_s": round(rate, 1), **_writer(rounds)},
        "slow_down": {
            "value": round(slow_down, 4),
            "target": TARGETS["slow_down"],
            "reached": slow_down <= TARGETS["slow_down"],
        },
        "failed_reads": {"value": len(failures), "target": 0, "reached": not failures, "lines": sorted(set(failures))},
        "pages": {
            "shown": sum(len(reader["pages_s"]) for reader in readers),
            "ms": _spread([s for reader in readers if not reader["largest"] for s in reader["pages_s"]]),
            "largest_ms": _spread([s for reader in readers if reader["largest"] for s in reader["pages_s"]]),
        },
        "holds": {
            "count": len(holds),
            "ms": _spread(holds),
            "share_above_50_ms": round(sum(hold > HOLD_LIMIT_S for hold in holds) / max(1, len(holds)), 4),
            "file_held_share": round(sum(holds) / sum(one["writer"]["wall_s"] for one in rounds), 3),
        },
        "reader_wait_ms": _spread([wait for reader in readers for wait in reader["waits_s"]]),
    }


def _writer(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "wall_s": [round(one["writer"]["wall_s"], 2) for one in rounds],
        "commit_ms": _spread([s for one in rounds for s in one["writer"]["commits_s"]]),
        "wait_for_file_ms": _spread([s for one in rounds for s in one["writer"]["waits_s"]]),
    }


def _rate(one: dict[str, Any]) -> float:
    return float(one["writer"]["rows"] / one["writer"]["wall_s"])


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {}
    in_order = sorted(seconds)
    places = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {"mean": round(1000 * statistics.fmean(seconds), 1)} | {
        name: round(1000 * in_order[min(len(in_order) - 1, int(share * len(in_order)))], 1)
        for name, share in places.items()
    }


def _start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.store_readers", *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _result(process: subprocess.Popen[str]) -> Any:
    said, _ = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{process.args!r} failed")
    return json.loads(said.strip().splitlines()[-1])


def main() -> None:
    arguments = _arguments()
    if arguments.write:
        store, started_at = arguments.write
        print(json.dumps(write(store, arguments.commits, started_at)))
        return
    if arguments.read:
        print(json.dumps(read(*arguments.read, largest=arguments.largest)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        room = Path(name)
        rows = make_big_store(room / "big.duckdb", Size(arguments.merges, arguments.prompts))
        alone, rounds = [], []
        for number in range(arguments.rounds):  # in turns, so that both meet the same noise
            alone.append(run(room / f"alone-{number}", room / "big.duckdb", arguments.commits, 0))
            rounds.append(run(room / f"read-{number}", room / "big.duckdb", arguments.commits, arguments.readers))
        result = {
            "machine": {"cpu": cpu(), "cores": os.cpu_count()},
            "versions": versions(LIBRARIES),
            "setting": {name: getattr(arguments, name) for name in ("commits", "readers", "rounds")},
            "store": {**rows, "bytes": (room / "big.duckdb").stat().st_size},
            **summary(rounds, alone),
        }
    print(json.dumps(result, indent=1))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=120, help="of the writer, about one a second [120]")
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=1, help="times to write alone and with readers, in turns [1]")
    parser.add_argument("--merges", type=int, default=63, help="of the store, before [63]")
    parser.add_argument("--prompts", type=int, default=3000)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--work", default=None, help="folder for the stores, deleted afterwards")
    parser.add_argument("--write", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--read", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--largest", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
