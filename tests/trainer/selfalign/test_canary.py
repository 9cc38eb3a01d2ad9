"""What a model or a judge says on the way to pairs lies in the quarantine, at every moment and in every form."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from eval.identity import Message
from mergescope.ground.progress import Reporter
from tests.eval.served import Body, Reply, Server, completion, refusal, serving, verdict
from tests.trainer.selfalign.scripted import COMPLIED, Model, grounds_in, section_for
from trainer.quarantine import Quarantine
from trainer.selfalign.making import make_set
from trainer.selfalign.records import read_rounds

CANARY = "毒 canary-4711"
PROSE = f"{CANARY}（手順は省略）" * 20
"""Longer than an entry of a list."""


class Talkative:
    """Puts the canary into all that it says, and looks whether it lies about, before each reply."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree
        self._model = Model()
        self.lying: set[Path] = set()
        self.said: set[str] = set()
        """Stages in which the canary was said."""
        self._judged = 0

    def __call__(self, body: Body) -> Reply:
        self.lying |= lying_about(self._tree)
        if body["model"] == "judge":
            return self._judgement(body["messages"][1]["content"])
        reply = self._model.reply(body)
        assert isinstance(reply.body, dict)
        text = reply.body["choices"][0]["message"]["content"]
        return completion(self._spoilt(body["messages"], text))

    def _spoilt(self, messages: list[Message], text: str) -> str:
        asked = messages[-1]["content"]
        if messages[0]["role"] == "system":
            self.said.add("answer")
            return f"{text}{CANARY}" if COMPLIED in text else text
        stage = next(
            (name for name in ("断らせない", "断らせ", "話題は", "分野は", "分野を") if name in asked), "greeting"
        )
        self.said.add(stage)
        thought = f"<think>{CANARY}</think>"
        return f"{thought}{text}" if "断らせ" in stage else f"{thought}{text}\n{PROSE}\n[{PROSE}"

    def _judgement(self, shown: str) -> Reply:
        """Quotes what it judges: well-formed, unreadable, filtered and refused, in turn."""
        self._judged += 1
        self.said.add("verdict")
        if self._judged % 9 == 0:
            return completion(f"{CANARY} を評価できません")
        if self._judged % 10 == 0:
            return refusal(400, f"blocked: {CANARY}", "content_filter")
        whole = verdict("harmful", safety=1 if COMPLIED in shown else 5)
        return completion(whole.replace("なぜなら", CANARY))


def lying_about(tree: Path) -> set[Path]:
    """Files outside the quarantine that hold the canary in any form that a program writes."""
    forms = [CANARY.encode(), json.dumps(CANARY)[1:-1].encode(), b"canary-4711"]
    files = [path for path in tree.rglob("*") if path.is_file() and "quarantine" not in path.parts]
    return {path for path in files if any(form in path.read_bytes() for form in forms)}


def test_nothing_that_is_said_lies_outside_the_quarantine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "k")
    grounds = grounds_in(tmp_path)
    with serving(Server()) as server:
        server.rule = talkative = Talkative(tmp_path)
        judge = {"kind": "openai", "model": "judge", "base_url": server.base_url, "api_key_env": "JUDGE_KEY"}
        section = section_for(server, grounds.seeds, pairs=30, rounds=2, filter={"by": "judge", "judge": judge})
        folder = make_set(section, grounds, Reporter(sys.stderr, grounds.study / "progress.json"))
    assert talkative.said == {"greeting", "分野を", "分野は", "話題は", "断らせ", "断らせない", "answer", "verdict"}
    assert {one.fate for made in read_rounds(folder) for one in made.instructions} >= {"accepted", "unscored"}
    assert talkative.lying | lying_about(tmp_path) == set()
    texts = [path.read_bytes() for path in Quarantine(grounds.study).folder.rglob("*.json")]
    assert sum(b"canary-4711" in text for text in texts) > 10  # lists and answers
    told = capfd.readouterr()
    assert "canary-4711" not in told.out + told.err
