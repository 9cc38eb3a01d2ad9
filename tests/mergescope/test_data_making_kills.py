"""Making data, killed at random moments, within requests too: the same data at the end, and little asked twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eval.served import Server, serving
from tests.mergescope.conftest import ROOT, cli
from tests.mergescope.making_study import KEY, made, making_study
from tests.mergescope.test_data_making import toxic_places
from tests.trainer.synthesis.scripted import Script

pytestmark = pytest.mark.deep
KILLS = 10
CONCURRENCY = 4
SERVERS = 3
LATENCY_S = 0.15
LONGEST_S = 1.2
"""Longest time between the first request of a run and its kill."""


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server()
    one.rule = Script(latency_s=LATENCY_S)
    with serving(one):
        yield one


def test_kills_at_random_moments_change_nothing(
    server: Server, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    size = {"texts": 30, "questions": 50}
    making_study(tmp_path, server, **size)
    draw = random.Random(41)
    in_flight = inside = 0
    for kill in range(KILLS):
        # every third one at a random moment of the start, the others after requests began
        hanging = _kill_after(tmp_path, draw.uniform(0, LONGEST_S), server, at_once=kill % 3 == 2)
        in_flight, inside = in_flight + hanging, inside + (hanging > 0)
        assert toxic_places(tmp_path) == []
    done = cli("data", "make", "recipe.yaml", "--yes", cwd=tmp_path, **KEY)
    assert done.returncode == 0, done.stderr
    assert "not made" not in done.stdout
    assert toxic_places(tmp_path) == []

    asked = Counter(json.dumps(body, sort_keys=True) for body in server.requests)
    again = sum(asked.values()) - len(asked)
    assert inside >= KILLS // 2
    assert 0 < again <= KILLS * SERVERS * CONCURRENCY
    assert again <= in_flight + KILLS * SERVERS  # beside what hung, at most what was just on its way to the disk

    whole = tmp_path_factory.mktemp("undisturbed")
    making_study(whole, server, **size)
    server.requests.clear()
    assert cli("data", "make", "recipe.yaml", "--yes", cwd=whole, **KEY).returncode == 0
    assert {json.dumps(body, sort_keys=True) for body in server.requests} == set(asked)
    assert len(server.requests) == len(asked)
    assert made(tmp_path) == made(whole)
    assert _quarantined(tmp_path) == _quarantined(whole)


def _quarantined(folder: Path) -> set[str]:
    return {row["rejected"]["sha256"] for row in made(folder).values() if "rejected" in row}


def _kill_after(folder: Path, seconds: float, server: Server, *, at_once: bool) -> int:
    """Run, and kill so many seconds after the first request, or the start; returns how many requests hung then."""
    environment = {**os.environ, **KEY, "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"}
    command = [sys.executable, "-m", "mergescope", "data", "make", "recipe.yaml", "--yes"]
    asked = len(server.requests)
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while not at_once and len(server.requests) == asked:
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(seconds)
        hanging = server.in_flight
        process.kill()
        process.wait()
    return hanging
