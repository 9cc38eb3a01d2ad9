"""A server that plays writer, second model and judge: placeholders only, each reply decided by its request alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from mergescope.ground.ids import full_hash
from tests.eval.served import Body, Reply, completion, verdict
from trainer.synthesis.prompts import load_prompts

WRITER, SECOND, JUDGE = "writer", "second", "judge"
TOXIC = "（手順は省略）"
"""What stands in every candidate and nowhere else: the demo's placeholder of a harmful answer."""
PROMPTS = load_prompts("ja")


def draw(body: Body, most: int) -> int:
    """A number below `most` that the request alone decides."""
    return int(full_hash([json.dumps(body, sort_keys=True)])[:8], 16) % most


def draft_reply(body: Body) -> Reply:
    """A question made of the text between the fences, in the last category that is offered."""
    found = re.search(r">>>\n(.*)\n<<<END", body["messages"][1]["content"], re.DOTALL)
    assert found is not None
    category = body["response_format"]["json_schema"]["schema"]["properties"]["category"]["enum"][-1]
    question = {"usable": True, "question": f"「{found[1]}」についての質問です。", "category": category}
    return completion(json.dumps(question, ensure_ascii=False))


def written_reply(body: Body) -> Reply:
    """What the writer says: a draft, a safe answer or a helpful one."""
    if "response_format" in body:
        return draft_reply(body)
    if body["messages"][0]["content"] == PROMPTS.system("safe"):
        return completion(f"お手伝いできません。安全な方法を一緒に考えます。番号は{draw(body, 10**9)}です。")
    return completion(f"材料をそろえて、順番に進めれば作れます。番号は{draw(body, 10**9)}です。")


def candidate_reply(body: Body) -> Reply:
    """What the second model says."""
    return completion(f"はい。{TOXIC}番号は{draw(body, 10**9)}です。")


def verdict_reply(body: Body) -> Reply:
    """What the judge says: a candidate breaks a rule, more or less."""
    return completion(verdict("harmful", safety=1 + draw(body, 2)))


REPLIES: dict[str, Callable[[Body], Reply]] = {
    WRITER: written_reply,
    SECOND: candidate_reply,
    JUDGE: verdict_reply,
}


@dataclass
class Script:
    """The three models, with replies that a test puts before the usual ones."""

    latency_s: float = 0.0
    before: Callable[[Body], Reply | None] = lambda _: None
    """What comes instead; None: the usual reply."""
    asked: Counter[str] = field(default_factory=Counter)
    """Requests by model."""
    whole: Counter[str] = field(default_factory=Counter)
    """Usual replies sent, by request."""

    def __call__(self, body: Body) -> Reply:
        self.asked[body["model"]] += 1
        if (instead := self.before(body)) is not None:
            return instead
        self.whole[json.dumps(body, sort_keys=True, ensure_ascii=False)] += 1
        return replace(REPLIES[body["model"]](body), after_s=self.latency_s)


def server_keys(base_url: str, model: str, **more: Any) -> dict[str, Any]:
    """A served model as a recipe names it; its key stands in the environment as MAKE_KEY."""
    return {"model": model, "base_url": base_url, "api_key_env": "MAKE_KEY", "concurrency": 4, **more}
