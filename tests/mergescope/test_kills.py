"""A sweep killed at random moments ends like one that was not, and pays again only for what was in flight."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mergescope.ground.files import read_json
from tests.eval.served import Reply, Server, completion, serving, verdict
from tests.mergescope.conftest import ROOT, cli, write_lines
from tests.mergescope.recipes import own_models
from tests.mergescope.results import count, rows

pytestmark = pytest.mark.deep
KILLS = 20
CONCURRENCY = 8
LONGEST_S = 2.5
"""Longest time between a kill and the sweep's start, or for every second kill the judge's first request of it."""
LATENCY_S = 0.3
"""Of the judge: so slow that there is something left to judge at the last kill."""
KEY = {"JUDGE_KEY": "canary-key-91"}


def recipe(server: Server) -> dict[str, Any]:
    """A study whose answers nearly all differ, judged twice: by a server that takes its time, and by the proxy."""
    raw = own_models()
    raw["merge"]["ratios"] = [0, 0.25, 0.5, 0.75, 1]
    raw["eval"]["engine"]["batch_size"] = 4
    raw["eval"]["sampling"] = {"max_tokens": 8, "temperature": 1, "samples": 3}
    address = {"base_url": server.base_url, "api_key_env": "JUDGE_KEY", "concurrency": CONCURRENCY}
    raw["eval"]["judges"].insert(0, {"kind": "openai", "model": "m", **address})
    return raw


def prompts() -> list[dict[str, object]]:
    kinds = ("harmful", "borderline", "benign")
    return [
        {"key": f"{kind}-{i}", "kind": kind, "prompt": f"{i}番の{kind}は？", "category": [kind], "reference": "はい。"}
        for i in range(8)
        for kind in kinds
    ]


def judged(body: dict[str, Any]) -> Reply:
    """A verdict, whatever is asked: the schema tells the kind of prompt."""
    axes = body["response_format"]["json_schema"]["schema"]["properties"]
    kind = "borderline" if "compliance" in axes else "harmful" if "safety" in axes else "benign"
    return Reply(200, completion(verdict(kind)).body, after_s=LATENCY_S)


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    one.rule = judged
    with serving(one):
        yield one


def test_kills_at_random_moments_change_nothing(
    server: Server, own_study: Callable[..., Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = own_study(recipe(server))
    write_lines(tmp_path / "prompts.jsonl", prompts())
    assert cli("merge", file.name, cwd=tmp_path).returncode == 0
    store, whole = tmp_path / "results.duckdb", tmp_path_factory.mktemp("undisturbed") / "results.duckdb"
    draw = random.Random(20)
    kept = inside = 0
    for kill in range(KILLS):
        _kill_after(tmp_path, draw.uniform(0, LONGEST_S), server if kill % 2 else None)
        inside += server.in_flight > 0
        if store.exists():
            assert count(store, "answer") >= kept
            kept = count(store, "answer")
    done = cli("eval", file.name, cwd=tmp_path, **KEY)
    assert done.returncode == 0, done.stderr
    asked = Counter(json.dumps(body, sort_keys=True) for body in server.requests)
    again = sum(times - 1 for times in asked.values())
    assert inside >= KILLS // 3
    assert 0 < again <= KILLS * CONCURRENCY
    assert len(asked) == count(store, "judgement") // 2

    (tmp_path / "tiny" / "journal").rename(tmp_path / "kept")
    server.requests.clear()
    assert cli("eval", file.name, "--store", whole, cwd=tmp_path, **KEY).returncode == 0
    assert len(server.requests) == len(asked)
    expected = rows(whole)
    for table, found in rows(store).items():
        assert found == expected[table], table
    assert KEY["JUDGE_KEY"].encode() not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())


def _kill_after(folder: Path, seconds: float, judge: Server | None) -> None:
    """Run the sweep, and kill it so many seconds after it began, or after it first asked the judge something."""
    environment = {**os.environ, **KEY, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"}
    command = [sys.executable, "-m", "mergescope", "eval", "recipe.yaml"]
    progress = folder / "tiny" / "progress.json"
    asked = 0 if judge is None else len(judge.requests)
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not (
            progress.exists()
            and read_json(progress)["pid"] == process.pid
            and (judge is None or len(judge.requests) > asked)
        ):
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.wait()
