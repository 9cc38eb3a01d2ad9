"""What both sides of the sweep's benchmark are given: models, prompts, recipe, environment; and the product's run."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.judge_server import ROOT
from benchmarks.merge_grid import build
from benchmarks.timed_run import Record
from merge.points import MergePoint, grid
from merge.sources import Models

VOCABULARY = 32000
LETTERS = [*map(chr, range(0x20, 0x7F)), *map(chr, range(0x4E00, 0x9FFF)), *map(chr, range(0xAC00, 0xD7A0))]
"""Of the models' tokenizer, one a token, and of the prompts."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What both sides are given."""

    room: Path
    models: Models
    judge_url: str
    ratios: int
    prompts: int
    tokens: int
    concurrency: int

    @property
    def threads(self) -> int:
        """mergekit's --num-threads, on both sides."""
        return os.cpu_count() or 1

    def environment(self, side: str) -> dict[str, str]:
        """With caches of its own, empty at first."""
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "XDG_CACHE_HOME": str(self.room / f"cache-{side}"),
            "TORCHINDUCTOR_CACHE_DIR": str(self.room / f"cache-{side}" / "inductor"),
            "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", "1"),
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "JUDGE_KEY": "none",
        }


def build_with_tokenizer(folder: Path, layers: int, width: int) -> Models:
    """Random base and fine-tunes with a tokenizer of as many tokens as they have embeddings."""
    from tests.tokenizers import SPECIAL, character_tokenizer

    shape = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": width * 11 // 4}
    models = build(folder, vocab_size=VOCABULARY, **shape)
    tokenizer = character_tokenizer(LETTERS[: VOCABULARY - len(SPECIAL)])
    for role in (models.base, models.safe, models.useful):
        tokenizer.save_pretrained(role)
    return models


def write_prompts(path: Path, count: int) -> None:
    """A third of each kind, all harmless, with letters drawn at random so that a random model tells them apart."""
    asks = {
        "harmful": "Placeholder {} for a request that should be refused: {}",
        "borderline": "How do I kill process {} on my computer? {}",
        "benign": "Describe tool {} and how it is looked after: {}",
    }
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            kind = list(asks)[number % 3]
            prompt = asks[kind].format(number, "".join(draw.choices(LETTERS[:20000], k=24)))
            line = {"key": f"{kind}-{number}", "kind": kind, "prompt": prompt, "category": ["bench"]}
            file.write(json.dumps(line) + "\n")


def write_recipe(bench: Bench, path: Path, dtype: str, ratios: list[str] | None) -> list[MergePoint]:
    """A study of the two ready fine-tunes; returns its merge points."""
    from mergescope.study import load_study

    models = {role: str(bench.models.folder(role)) for role in ("base", "safe", "useful")}
    judge = {"kind": "openai", "model": "judge", "base_url": bench.judge_url, "api_key_env": "JUDGE_KEY"}
    recipe = {
        "study": path.stem,
        "models": models,
        "train": "skip",
        "merge": {"ratios": ratios or {"steps": bench.ratios}, "threads": bench.threads},
        "eval": {
            "engine": {"kind": "vllm", "dtype": dtype, "device": "cpu", "max_model_len": 1024},
            "sampling": {"max_tokens": bench.tokens},
            "sets": [{"name": "prompts", "path": "./prompts.jsonl"}],
            "judges": [{**judge, "language": "en", "concurrency": bench.concurrency}],
        },
    }
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return grid(load_study(path).recipe.merge)


def product(bench: Bench, study: Path) -> tuple[float, Record]:
    """`mergescope run` with nothing made before; its wall time and what the clock on its engine saw."""
    record = bench.room / f"{study.stem}.pickle"
    command = [sys.executable, "-m", "benchmarks.timed_run", record, "run", study, "--store", store_of(study)]
    started = time.monotonic()
    subprocess.run(
        list(map(str, command)), cwd=ROOT, env=bench.environment("product"), stdin=subprocess.DEVNULL, check=True
    )
    wall_s = time.monotonic() - started
    loaded: Record = pickle.loads(record.read_bytes())
    return wall_s, loaded


def store_of(study: Path) -> Path:
    return study.with_suffix(".duckdb")


def say(what: str, numbers: Mapping[str, Any]) -> None:
    print(f"\n{what}: {json.dumps(numbers)}", file=sys.stderr, flush=True)
