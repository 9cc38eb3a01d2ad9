"""All metrics with intervals of a big study: how long they take to read, compute and write, and how much memory.

    python -m benchmarks.metrics_speed [--merges 63 --prompts 3000] [--rounds 5] [--work FOLDER]

Prints and writes benchmarks/results/metrics_speed.json with machine and versions. The store is `big_store`: 21 ratios
times 3 mask seeds, 3,000 prompts, 1.07 million scores of up to 6 axes an answer. A process of its own, started once for
each round, brings the estimates up to date three times: `first`, none of them stands; `gained`, the judge has scored
what it had failed on of one checkpoint; `nothing_new`. Times are medians over the rounds; memory is the most that a
process had, imports included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.big_store import STUDY, Size, make_big_store
from benchmarks.measured_on import cpu, versions
from eval import estimates
from eval.store import open_store

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "metrics_speed.json"
TARGETS = {"first.whole_s": 2.0, "memory_mb": 1000}
LIBRARIES = ("duckdb", "numpy", "scipy")


@dataclass(slots=True)
class Times:
    """Seconds of one `write_estimates`."""

    load_s: float = 0.0
    """`load_scores`: from the store's rows to arrays."""
    compute_s: float = 0.0
    """All the rest: group sums, values, intervals, bounds, columns; opening the store."""
    write_s: float = 0.0
    """`replace_estimates`: comparing with what stands, and one transaction."""
    whole_s: float = 0.0
    written: int = 0
    """Estimates that were written."""


def measured(store: Path) -> Times:
    """One `write_estimates` with a clock on its parts."""
    times = Times()
    load, replace = estimates.load_scores, estimates.replace_estimates

    def clocked(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started = time.monotonic()
            result = method(*arguments)
            setattr(times, name, getattr(times, name) + time.monotonic() - started)
            return result

        return timed

    started = time.monotonic()
    estimates.__dict__.update(load_scores=clocked("load_s", load), replace_estimates=clocked("write_s", replace))
    try:
        times.written = estimates.write_estimates(store, STUDY)
    finally:
        estimates.__dict__.update(load_scores=load, replace_estimates=replace)
    times.whole_s = time.monotonic() - started
    times.compute_s = times.whole_s - times.load_s - times.write_s
    return times


def score_what_failed(store: Path) -> None:
    """The judge's second try at what it failed on of one checkpoint."""
    with open_store(store, read_only=False) as db:
        failed = """SELECT judgement_id, kind FROM judgement JOIN answer ON answer.text_id = judgement.text_id
            WHERE judgement.error_kind IS NOT NULL AND checkpoint_id = (SELECT min(checkpoint_id) FROM answer)"""
        db.execute(f"CREATE TEMP TABLE again AS {failed}")
        db.execute(
            """INSERT INTO score SELECT judgement_id, CASE kind WHEN 'borderline' THEN 'compliance' ELSE 'refusal' END,
            NULL, CASE kind WHEN 'borderline' THEN 'full_answer' ELSE 'none' END, NULL FROM again"""
        )
        db.execute("UPDATE judgement SET error_kind = NULL WHERE judgement_id IN (SELECT judgement_id FROM again)")


def one_round(store: Path) -> dict[str, Any]:
    """The three updates, in this process."""
    with open_store(store, read_only=False) as db:
        db.execute("DELETE FROM estimate")
    found = {"first": asdict(measured(store))}
    score_what_failed(store)
    found |= {name: asdict(measured(store)) for name in ("gained", "nothing_new")}
    return found | {"memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Over the rounds: the median of each time, the most memory, and what was written."""
    found: dict[str, Any] = {
        name: {key: round(statistics.median(one[name][key] for one in rounds), 3) for key in rounds[0][name]}
        for name in ("first", "gained", "nothing_new")
    }
    return found | {"memory_mb": max(one["memory_mb"] for one in rounds)}


def main() -> None:
    arguments = _arguments()
    if arguments.round:
        print(json.dumps(one_round(arguments.round)))
        return
    rounds = []
    with tempfile.TemporaryDirectory(dir=arguments.work) as name:
        for number in range(arguments.rounds):
            store = Path(name) / f"{number}.duckdb"
            rows = make_big_store(store, Size(arguments.merges, arguments.prompts))
            command = [sys.executable, "-m", "benchmarks.metrics_speed", "--round", str(store)]
            said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
            rounds.append(json.loads(said.strip().splitlines()[-1]))
            store.unlink()
    result = {
        "machine": {"cpu": cpu(), "cores": os.cpu_count()},
        "versions": versions(LIBRARIES),
        "setting": {name: getattr(arguments, name) for name in ("merges", "prompts", "rounds")},
        "scores": rows["score"],
        "targets": TARGETS,
        **medians(rounds),
    }
    print(json.dumps(result, indent=1))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--merges", type=int, default=63)
    parser.add_argument("--prompts", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--work", default=None, help="folder for the stores, deleted afterwards")
    parser.add_argument("--round", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
