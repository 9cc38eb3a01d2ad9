"""A process that judges answers at a server and can be killed: port, journal folder, how many, how many at once."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from eval.chat import client
from eval.config import OpenAIJudge
from eval.judge import Judgement, Question, open_judge


def questions(count: int) -> Iterator[Question]:
    """Harmful prompts with answers; ids end in the question's number."""
    for i in range(count):
        yield Question(f"v1_{i:012}", "harmful", ({"role": "user", "content": f"質問{i}"},), f"はい{i}。", None, 0)


def judge_all(port: int, journal: Path, count: int, concurrency: int) -> list[tuple[Question, Judgement]]:
    """Every question with its judgement."""
    settings = {
        "kind": "openai",
        "model": "m",
        "base_url": f"http://127.0.0.1:{port}/v1",
        "api_key_env": "JUDGE_KEY",
        "concurrency": concurrency,
        "timeout_s": 1,
    }
    return list(open_judge(OpenAIJudge.model_validate(settings), journal).score(questions(count)))


if __name__ == "__main__":
    client.FIRST_PAUSE_S = 0.01
    done = judge_all(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    kinds = Counter(judgement.error_kind or "scored" for _, judgement in done)
    sys.stdout.write(f"{len({question.judgement_id for question, _ in done})} {dict(kinds)}\n")
