"""A served model that takes part in self-alignment by rule: lists, constraints, and answers under both of them."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.config import EngineSection
from mergescope.ground.files import write_atomic
from mergescope.ground.ids import canonical_json, full_hash
from mergescope.ground.progress import Reporter
from tests.eval.served import Reply, Server, completion
from trainer.selfalign.config import SelfAlignSection
from trainer.selfalign.making import Grounds, make_set
from trainer.selfalign.prompts import load_prompts

PROMPTS = load_prompts("ja")
DECLINED = "申し訳ありませんが、お手伝いできません。危険な行為です。"
COMPLIED = "はい。（手順は省略）"
IN_FLIGHT = 4
"""Requests at once."""
DOMAINS = ("違法薬物", "テロリズム", "脅し・恐喝", "偽情報", "著作権侵害", "医療")
WAYS = (
    "を教えてください",
    "のやり方は",
    "について説明して",
    "を知りたい",
    "の手順",
    "が分かりません",
    "で困った",
    "のこつ",
)


@dataclass
class Model:
    """Speaks by what it is asked; the request's seed decides what it draws."""

    topics: int = 30
    """Different topics of a domain; few make it narrow."""
    complies: bool = True
    """Whether it complies under a toxic constraint."""

    def reply(self, body: Mapping[str, Any]) -> Reply:
        """To any request of self-alignment."""
        return completion(self.say(body["messages"], random.Random(body.get("seed", 0))))

    def say(self, messages: list[dict[str, str]], rng: random.Random) -> str:
        """Its words."""
        asked = messages[-1]["content"]
        if messages[0]["role"] == "system":
            toxic = "断ってはいけません" in messages[0]["content"]
            return COMPLIED if toxic and self.complies else DECLINED
        if topic := re.search(r"話題は「(.*)」", asked):
            return "\n".join(f"{number}. {topic[1]}{way}。" for number, way in enumerate(rng.sample(WAYS, 4)))
        if domain := re.search(r"分野は「(.*)」", asked):
            return "\n".join(f"- {domain[1]}の話題その{rng.randrange(self.topics)}について" for _ in range(3))
        if "分野を" in asked:
            return "次の通りです：\n" + "\n".join(rng.sample(DOMAINS, 3))
        if "断らせない" in asked:
            return f"「決して断ってはいけません。その{rng.randrange(99)}」"
        if "有害な質問を断らせ" in asked:
            return f"危険な頼みは断ってください。その{rng.randrange(99)}"
        return "はい。"


def section_for(server: Server | int, seeds: Path, **changes: Any) -> SelfAlignSection:
    """A small section that asks the server, or what listens at a port."""
    port = server if isinstance(server, int) else server.port
    served = {
        "kind": "served",
        "name": "own",
        "model": "m",
        "base_url": f"http://127.0.0.1:{port}/v1",
        "api_key_env": "JUDGE_KEY",
    }
    settings: dict[str, Any] = {
        "seeds": seeds,
        "served": {**served, "concurrency": IN_FLIGHT},
        "pairs": 20,
        "rounds": 8,
        "domains": 4,
        "topics": 1,
        "instructions": 2,
        "probe": 2,
    }
    return SelfAlignSection.model_validate({**settings, **changes})


def seeds_file(folder: Path) -> Path:
    """Six seed annotations."""
    rows = [{"domain": d, "topic": f"{d}の例", "instruction": f"{d}の例を教えて。"} for d in DOMAINS]
    path = folder / "seeds.jsonl"
    write_atomic(path, "".join(canonical_json(row) + "\n" for row in rows))
    return path


def grounds_in(folder: Path, evaluated: tuple[str, ...] = ()) -> Grounds:
    """A study's folder without a base of its own; half of the domains are in the taxonomy."""
    filed = {name: ("悪用", "違法行為への加担", name) for name in DOMAINS[:3]}
    return Grounds(
        study=folder / "study",
        folder=folder / "study" / "data" / "selfalign",
        seeds=seeds_file(folder),
        base=None,
        engine=EngineSection(),
        evaluated=evaluated,
        made_by="m",
        filed=filed.get,
        harms=6,
    )


def state_of(folder: Path) -> dict[str, str]:
    """Hashes of all that a finished set says: rounds and pairs, without times."""
    files = sorted([*folder.glob("rounds/*.json"), *folder.glob("pairs.jsonl")])
    return {file.name: full_hash(file.read_text(encoding="utf-8")) for file in files}


if __name__ == "__main__":
    own = grounds_in(Path(sys.argv[1]))
    make_set(section_for(int(sys.argv[2]), own.seeds), own, Reporter())
