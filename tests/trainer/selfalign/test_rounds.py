"""Whole rounds against a scripted server: until the quota, until nothing is new, through trouble and kills."""

from __future__ import annotations

import json
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mergescope.ground.errors import DataError, MergescopeError
from mergescope.ground.files import read_manifest
from mergescope.ground.progress import Reporter
from tests.eval.served import Reply, Server, completion, refusal, serving
from tests.mergescope.conftest import ROOT
from tests.trainer.selfalign.scripted import (
    COMPLIED,
    DECLINED,
    DOMAINS,
    IN_FLIGHT,
    Model,
    grounds_in,
    section_for,
    state_of,
)
from trainer.quarantine import Quarantine
from trainer.selfalign.making import make_set
from trainer.selfalign.records import Round, fates, read_rounds

KILLED = "tests.trainer.selfalign.scripted"
"""Runs the set of `made` as a process of its own."""
Made = tuple[Path, list[Round]]


@pytest.fixture(scope="module", autouse=True)
def _key() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUDGE_KEY", "k")
        yield


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    """With a model that takes part, and no requests so far."""
    running.rule = Model().reply
    running.requests.clear()
    return running


@dataclass(frozen=True, slots=True)
class Whole:
    """A set that was made without trouble."""

    tree: Path
    folder: Path
    rounds: list[Round]
    requests: int


@pytest.fixture(scope="module")
def whole(running: Server, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    running.rule = Model().reply
    running.requests.clear()
    tree = tmp_path_factory.mktemp("whole")
    folder, rounds = made(running, tree)
    return Whole(tree, folder, rounds, len(running.requests))


def made(server: Server, tmp_path: Path, evaluated: tuple[str, ...] = (), **changes: Any) -> Made:
    grounds = grounds_in(tmp_path, evaluated)
    folder = make_set(section_for(server, grounds.seeds, **changes), grounds, Reporter())
    return folder, read_rounds(folder)


def pairs_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]


def test_rounds_go_on_until_there_are_enough_pairs(whole: Whole) -> None:
    folder, rounds = whole.folder, whole.rounds
    manifest, pairs = read_manifest(folder), pairs_of(folder)
    assert manifest is not None
    assert manifest["stop"] == "pairs"
    assert manifest["annotations"] == {"seeds": 6, "constraints": 2, "all": 8}
    assert len(pairs) == manifest["pairs"]["all"] == manifest["pairs"]["written_by_the_model"] >= 20
    assert manifest["pairs"]["written_by_people"] == 0
    assert len(rounds) >= 3
    assert {pair["prompt"] for pair in pairs} == {one.text for m in rounds for one in m.accepted}
    for pair in pairs:
        assert pair["chosen"] == DECLINED
        assert "断ってはいけません" in pair["toxic_constraint"]
        domain = pair["made"]["domain"]
        assert pair["meta"]["specific-harm"] == (domain if domain in DOMAINS[:3] else "general")
        assert pair["rejected"]["category"] == pair["meta"]["specific-harm"]
        assert pair["made_by"] == "m"


def test_constraints_are_rewritten_round_after_round(whole: Whole) -> None:
    rounds = whole.rounds
    assert rounds[0].refined == {}
    assert [m.refined for m in rounds[1:]] == [{"positive": "kept", "toxic": "kept"}] * (len(rounds) - 1)
    assert len({m.constraints.toxic for m in rounds}) > 1


def test_toxic_answers_stand_in_quarantine_alone(whole: Whole) -> None:
    quarantine = whole.folder.parent.parent / "quarantine"
    assert stat.S_IMODE(quarantine.stat().st_mode) == 0o700
    assert not (quarantine / "self-alignment").exists()
    outside = [path for path in whole.tree.rglob("*") if path.is_file() and quarantine not in path.parents]
    escaped = json.dumps(COMPLIED)[1:-1].encode()
    assert outside
    assert not [path for path in outside if COMPLIED.encode() in path.read_bytes() or escaped in path.read_bytes()]


def test_a_narrow_model_stops_for_want_of_novelty(server: Server, tmp_path: Path) -> None:
    server.rule = Model(topics=1).reply
    folder, rounds = made(server, tmp_path, pairs=500, rounds=20, novelty="0.4")
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest["stop"] == "novelty"
    assert len(rounds) < 20
    novelty = [m.numbers.novelty or 0.0 for m in rounds]
    assert novelty[-1] < 0.4 <= min(novelty[:-1])
    assert fates(rounds)["repeats"] > 0


def test_a_model_that_says_nothing_stops_at_once(server: Server, tmp_path: Path) -> None:
    server.script, server.rule = [completion("")], None
    folder, rounds = made(server, tmp_path)
    manifest = read_manifest(folder)
    assert manifest is not None
    assert (manifest["stop"], manifest["pairs"]["all"], len(rounds)) == ("novelty", 0, 1)
    assert rounds[0].numbers.novelty is None


def test_a_model_that_never_complies_makes_no_pair(server: Server, tmp_path: Path) -> None:
    server.rule = Model(complies=False).reply
    folder, rounds = made(server, tmp_path, rounds=2)
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest["stop"] == "rounds"
    assert set(fates(rounds)) <= {"not_polarised", "repeats"}
    assert {m.numbers.acceptance for m in rounds} == {0.0}
    assert not (folder / "pairs.jsonl").exists() or pairs_of(folder) == []


def test_odd_answers_leave_gaps_with_their_kind_and_no_more(server: Server, tmp_path: Path) -> None:
    """Under the toxic constraint the server filters one domain, breaks off at another, and says nothing to a third."""
    model = Model()

    def rule(body: dict[str, Any]) -> Reply:
        asked, head = body["messages"][-1]["content"], body["messages"][0]
        if head["role"] == "system" and asked.startswith(DOMAINS[0]):
            return refusal(400, "filtered", "content_filter")
        if head["role"] == "system" and asked.startswith(DOMAINS[1]):
            return completion("はい。（手順", finish="length")
        if head["role"] == "system" and asked.startswith(DOMAINS[2]):
            return completion("")
        return model.reply(body)

    server.rule = rule
    folder, rounds = made(server, tmp_path, rounds=2, pairs=500, domains=6, instructions=1, refine=False)
    met = fates(rounds)
    assert [met[f"unanswered: {kind}"] for kind in ("filter", "cut", "empty")] == [2, 2, 2]
    assert {pair["made"]["domain"] for pair in pairs_of(folder)} <= set(DOMAINS[3:])


@pytest.mark.deep
def test_no_pair_is_near_an_evaluated_prompt(server: Server, tmp_path: Path) -> None:
    prompts = tuple(f"{d}の話題その{n}についてを教えてください。" for d in DOMAINS for n in range(30))
    folder, rounds = made(server, tmp_path, prompts, rounds=3)
    assert fates(rounds)["evaluated"] > 0
    assert not {pair["prompt"] for pair in pairs_of(folder)} & set(prompts)


def test_a_finished_set_is_left_alone_and_a_larger_quota_goes_on(server: Server, tmp_path: Path) -> None:
    folder, first = made(server, tmp_path, pairs=8)
    asked = len(server.requests)
    made(server, tmp_path, pairs=8)
    assert len(server.requests) <= asked + 1  # the greeting
    _, more = made(server, tmp_path, pairs=20)
    assert more[: len(first)] == first
    assert len(more) > len(first)
    assert len(pairs_of(folder)) >= 20


def test_another_setting_does_not_mix_with_what_is_there(server: Server, tmp_path: Path) -> None:
    made(server, tmp_path, pairs=8)
    with pytest.raises(DataError, match="another setting"):
        made(server, tmp_path, pairs=8, seed=5)


def in_trouble(server: Server, tmp_path: Path, after: int) -> None:
    """Run until the server has answered `after` requests and turns the next ones down."""
    model = Model()

    def rule(body: dict[str, Any]) -> Reply:
        return model.reply(body) if len(server.requests) <= after else refusal(401, "expired")

    server.rule = rule
    with pytest.raises(MergescopeError, match="401"):
        made(server, tmp_path)
    server.rule = model.reply


def test_a_purge_before_the_set_is_whole_costs_answers_and_nothing_else(
    whole: Whole, server: Server, tmp_path: Path
) -> None:
    in_trouble(server, tmp_path, 60)
    quarantine = Quarantine(next(tmp_path.rglob("quarantine")).parent)
    assert quarantine.purge(datetime.now(UTC), 0, ())
    folder, _ = made(server, tmp_path)
    assert state_of(folder) == state_of(whole.folder)


@pytest.mark.parametrize("after", [9, pytest.param(30, marks=pytest.mark.deep), 60])
@pytest.mark.deep
def test_after_a_break_the_set_ends_the_same_and_only_what_was_lost_is_asked_again(
    whole: Whole, server: Server, tmp_path: Path, after: int
) -> None:
    in_trouble(server, tmp_path, after)
    lost = len(server.requests) - after
    folder, _ = made(server, tmp_path)
    assert state_of(folder) == state_of(whole.folder)
    assert len(server.requests) == whole.requests + lost + 1  # the second run's greeting


@pytest.mark.deep
def test_ten_kills_within_requests_lose_what_was_in_flight_and_no_more(
    whole: Whole, server: Server, tmp_path: Path
) -> None:
    """The server kills who asks, at ten of its requests; it counts what it is asked."""
    model, child, kills = Model(), list[subprocess.Popen[bytes]](), set(random.Random(3).sample(range(3, 90), 10))

    def rule(body: dict[str, Any]) -> Reply:
        if len(server.requests) in kills:
            child[-1].kill()
        return model.reply(body)

    server.rule = rule
    runs = 0
    while not child or child[-1].wait() != 0:
        runs += 1
        assert runs <= 11
        child.append(subprocess.Popen([sys.executable, "-m", KILLED, str(tmp_path), str(server.port)], cwd=ROOT))
    folder = grounds_in(tmp_path).folder
    assert runs > 5
    assert state_of(folder) == state_of(whole.folder)
    assert len(server.requests) <= whole.requests + (runs - 1) * (IN_FLIGHT + 1)
