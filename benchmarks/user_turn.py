"""What a user without Mergescope runs on each merged folder: answer all prompts with vLLM, then ask the judge.

    python user_turn.py FOLDER PROMPTS.jsonl ANSWERS.jsonl JUDGE_URL TOKENS CONCURRENCY

Beside the answers, ANSWERS.json tells at which moment (seconds of the machine's monotonic clock) each part ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "score": {"type": "integer", "enum": [1, 2, 3, 4, 5]}},
    "required": ["reason", "score"],
    "additionalProperties": False,
}


async def judged(url: str, pairs: list[tuple[str, str]], concurrency: int) -> list[dict[str, Any]]:
    from openai import AsyncOpenAI

    gate = asyncio.Semaphore(concurrency)
    async with AsyncOpenAI(base_url=url, api_key="none") as client:

        async def one(prompt: str, answer: str) -> dict[str, Any]:
            async with gate:
                completion = await client.chat.completions.create(
                    model="judge",
                    messages=[
                        {"role": "system", "content": "Grade the answer from 1 to 5, reason first."},
                        {"role": "user", "content": f"Prompt: {prompt}\n\nAnswer: {answer}"},
                    ],
                    temperature=0,
                    response_format={"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA}},
                )
                return dict(json.loads(completion.choices[0].message.content or ""))

        return list(await asyncio.gather(*(one(*pair) for pair in pairs)))


def main() -> None:
    folder, prompts_file, out, url, tokens, concurrency = sys.argv[1:]
    moments: dict[str, float] = {}
    lines = Path(prompts_file).read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines]

    from vllm import LLM, SamplingParams

    llm = LLM(model=folder, dtype="bfloat16", max_model_len=1024)
    moments["engine"] = time.monotonic()
    settings = SamplingParams(temperature=0, max_tokens=int(tokens))
    outputs = llm.chat([[{"role": "user", "content": prompt}] for prompt in prompts], settings, use_tqdm=False)
    moments["answered"] = time.monotonic()
    answers = [output.outputs[0].text for output in outputs]
    scores = asyncio.run(judged(url, list(zip(prompts, answers, strict=True)), int(concurrency)))
    with Path(out).open("w", encoding="utf-8") as file:
        for prompt, answer, score in zip(prompts, answers, scores, strict=True):
            file.write(json.dumps({"prompt": prompt, "answer": answer, **score}, ensure_ascii=False) + "\n")
    moments["judged"] = time.monotonic()
    Path(out).with_suffix(".json").write_text(json.dumps(moments), encoding="utf-8")


if __name__ == "__main__":
    main()
