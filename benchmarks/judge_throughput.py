"""How many judgements a second the product's client gets from a judge of fixed latency, and how near that is to all.

    python -m benchmarks.judge_throughput [--concurrency 8 16 32 64 128] [--seconds 8] [--rounds 3] [--work FOLDER]

Prints and writes benchmarks/results/judge_throughput.json with machine and versions. The judge is a real server on this
machine in a process of its own, 200 ms from each request to its answer; the client is the recipe's own judge
(`eval.judge.open_judge`), with its rubric, its checks of the verdict, and its journal on disk, flushed before a
judgement counts. Against such a server concurrency / latency is what any client could get at most: `share` is the rate
over that. The rate is taken in steady state: from the moment when the client has reached its concurrency until it runs
out of questions. Client and server need a core each; the rounds of the concurrencies take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.judge_server import serving
from benchmarks.measured_on import cpu, versions
from eval.chat.gate import START
from eval.config import OpenAIJudge
from eval.identity import judgement_id
from eval.judge import Question, open_judge

RESULT = Path(__file__).parent / "results" / "judge_throughput.json"
LATENCY_S = 0.2
ROUNDS_OF_GROWTH = 2
"""Round trips after the concurrency is reached that still belong to the start."""
TARGETS = {"share_at_32": 0.9, "least_per_s_from_64_on": 200.0}
LIBRARIES = ("openai", "httpx2", "pydantic")
PROMPT = "みそ汁の作り方を、初めての人にも分かるように教えてください。"
ANSWER = (
    "だしを温め、豆腐とわかめを入れ、火を止めてみそを溶きます。沸かすと香りが飛ぶので、温め直すときも弱火にします。" * 4
)


@dataclass(frozen=True, slots=True)
class Run:
    """One pass over the questions at one concurrency."""

    rate: float
    """Judgements a second in steady state."""
    cpu_ms: float
    """The client's CPU time for a judgement."""


def main() -> None:
    arguments = _arguments()
    os.environ["BENCHMARK_KEY"] = "not-a-secret"
    found: dict[int, list[Run]] = {concurrency: [] for concurrency in arguments.concurrency}
    with serving(LATENCY_S) as url:
        for _ in range(arguments.rounds):
            for concurrency, runs in found.items():
                with tempfile.TemporaryDirectory(dir=arguments.work) as journal:
                    runs.append(run(url, Path(journal), concurrency, arguments.seconds))
                print(concurrency, runs[-1], flush=True)
    result = {
        "machine": {"cpu": cpu(), "cores": os.cpu_count()},
        "versions": versions(LIBRARIES),
        "setting": {"latency_s": LATENCY_S, "seconds": arguments.seconds, "rounds": arguments.rounds},
        "concurrency": {str(concurrency): summed_up(concurrency, runs) for concurrency, runs in found.items()},
    }
    result["targets"] = against_targets(result["concurrency"])
    print(json.dumps(result, indent=1))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def run(url: str, journal: Path, concurrency: int, seconds: float) -> Run:
    """Judge for about so many seconds; every judgement must be scored."""
    start = growth(concurrency)
    count = start + round(concurrency / LATENCY_S * seconds)
    section = {"kind": "openai", "model": "stand-in", "base_url": url, "api_key_env": "BENCHMARK_KEY"}
    judge = open_judge(OpenAIJudge.model_validate({**section, "concurrency": concurrency}), journal)
    moments: list[float] = []
    cpu_s = time.process_time()
    for _, judgement in judge.score(questions(count)):
        if judgement.error_kind is not None:
            raise SystemExit(f"a judgement was not scored: {judgement}")
        moments.append(time.monotonic())
    steady = (count - start) // concurrency * concurrency - concurrency  # whole rounds: answers come in bursts
    rate = steady / (moments[start + steady] - moments[start])
    return Run(rate, 1000 * (time.process_time() - cpu_s) / count)


def growth(concurrency: int) -> int:
    """Judgements until so many requests are in flight (the client doubles each round), and some rounds more."""
    limit, count = min(START, concurrency), 0
    while limit < concurrency:
        count += limit
        limit = min(2 * limit, concurrency)
    return count + ROUNDS_OF_GROWTH * concurrency


def questions(count: int) -> Iterator[Question]:
    """Answers to one ordinary prompt, all of them different."""
    for number in range(count):
        name = judgement_id("j1_benchmark", "benign", "q1_soup", f"t1_{number}", None, 0)
        yield Question(name, "benign", ({"role": "user", "content": PROMPT},), f"{number}. {ANSWER}", ANSWER, 0)


def summed_up(concurrency: int, runs: list[Run]) -> dict[str, Any]:
    """Medians over the rounds, and the rate of each."""
    rate = statistics.median(one.rate for one in runs)
    return {
        "judgements_per_s": round(rate, 1),
        "share": round(rate * LATENCY_S / concurrency, 3),
        "cpu_ms_per_judgement": round(statistics.median(one.cpu_ms for one in runs), 2),
        "rounds_per_s": [round(one.rate, 1) for one in runs],
    }


def against_targets(by_concurrency: dict[str, Any]) -> dict[str, Any]:
    """Each target that was measured, with what was found."""
    values: dict[str, Any] = {}
    if "32" in by_concurrency:
        values["share_at_32"] = by_concurrency["32"]["share"]
    many = [row["judgements_per_s"] for name, row in by_concurrency.items() if int(name) >= 64]
    if many:
        values["least_per_s_from_64_on"] = min(many)
    return {name: {"target": TARGETS[name], "found": value} for name, value in values.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--seconds", type=float, default=8.0, help="of steady state at least, each time [8]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--work", default=None, help="folder for the journals, on the disk to be measured")
    return parser.parse_args()


if __name__ == "__main__":
    main()
