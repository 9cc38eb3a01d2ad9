"""21 ratios: a loop of stock mergekit-yaml against masks once and 21 blends, in one run on one machine.

    python benchmarks/merge_grid.py [--size 336m|42m] [--measured 2] [--ratios 21] [--work FOLDER]

Prints a table and writes benchmarks/results/merge_grid-<size>.json with machine and versions. The stock loop is
measured at a few ratios and multiplied: its time does not depend on the ratio. The sweep is one whole process: its
imports, hashing of the inputs, drawing of the masks, compiling and every blend, each tensor copied out as an engine
would take it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from merge.bundle import versions
from merge.config import MergeSection, RatioRange
from merge.identity import kernel_level
from merge.mergekit_yaml import INPUTS, mergekit_config, to_yaml
from merge.points import MergePoint, grid
from merge.sources import Models, stored_tensors

RESULTS = Path(__file__).parent / "results"
SIZES = {
    "336m": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 2816, "vocab_size": 32000},
    "42m": {"hidden_size": 512, "num_hidden_layers": 8, "intermediate_size": 1408, "vocab_size": 32000},
}
GB = 1e9


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one whole sweep took."""

    masks_s: float
    """Checking, hashing and drawing, with the start of the drawing process."""
    start_s: float
    """Opening the blender, compiling included."""
    blends_s: list[float]
    """Each ratio's pass, in seconds, every tensor copied out."""
    wall_s: float
    """The whole process, from its start."""
    peak_gb: float
    """Largest resident memory of the sweep's own process, mapped files included."""


def main() -> None:
    arguments = _arguments()
    if arguments.sweep_only:
        print(json.dumps(asdict(sweep(Path(arguments.work), arguments.ratios))))
        return
    with tempfile.TemporaryDirectory(dir=arguments.work) as room:
        result = run(Path(room), arguments.size, arguments.ratios, arguments.measured)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"merge_grid-{arguments.size}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def run(room: Path, size: str, ratios: int, measured: int) -> dict[str, Any]:
    """Build the models in `room`, run both ways, and put the numbers together."""
    models = build(room / "models", **SIZES[size])
    stock_s = [
        stock_seconds(room / f"stock-{i}", models, point) for i, point in enumerate(points(ratios)[1 : measured + 1])
    ]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, __file__, "--sweep-only", "--work", str(room), "--ratios", str(ratios)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        # a cold cache: hashes of the weights and compiled kernels are made in the run
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(room / "cache"),
            "TORCHINDUCTOR_CACHE_DIR": str(room / "inductor"),
        },
    )
    whole_s = time.monotonic() - started
    swept = Sweep(**json.loads(done.stdout.strip().splitlines()[-1]))
    parameters = sum(t.numel for t in stored_tensors(models.base).values())
    blend_s = sorted(swept.blends_s)[len(swept.blends_s) // 2]
    stock_mean = sum(stock_s) / len(stock_s)
    return {
        "parameters": parameters,
        "ratios": ratios,
        "stock_s": [round(s, 1) for s in stock_s],
        "stock_loop_s": round(stock_mean * ratios, 1),
        "sweep_s": round(whole_s, 1),
        "times_faster": round(stock_mean * ratios / whole_s, 1),
        "masks_s": round(swept.masks_s, 1),
        "masks_per_stock_merge": round(swept.masks_s / stock_mean, 2),
        "start_s": round(swept.start_s, 1),
        "blend_s": round(blend_s, 3),
        "blend_gb_s": round(parameters * 8.25 / blend_s / GB, 2),
        "copy_gb_s": round(copy_rate(), 2),
        "peak_gb": round(swept.peak_gb, 2),
        "mapped_gb": round(sum(f.stat().st_size for f in room.rglob("*.safetensors") if "models" in f.parts) / GB, 2),
        "checkpoint_bytes_written": 0,
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "kernel_level": kernel_level()},
        "versions": {**versions(), "python": platform.python_version()},
    }


def points(ratios: int) -> list[MergePoint]:
    """The grid of the benchmark: densities 0.5, complementary."""
    return grid(MergeSection(ratios=RatioRange(steps=ratios)))


def build(folder: Path, **shape: int) -> Models:
    """A random bf16 Llama and two fine-tunes of it."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, LlamaConfig

    heads = shape["hidden_size"] // 64
    config = LlamaConfig(**shape, num_attention_heads=heads, num_key_value_heads=heads, tie_word_embeddings=True)
    with torch.device("meta"):
        shapes = {name: p.shape for name, p in AutoModelForCausalLM.from_config(config).named_parameters()}
    generator = torch.Generator().manual_seed(0)
    base = {name: torch.randn(size, generator=generator) * 0.02 for name, size in shapes.items()}
    config.architectures = ["LlamaForCausalLM"]
    for role in ("base", "safe", "useful"):
        change = 0.0 if role == "base" else 0.002
        tensors = {n: (t + change * torch.randn(t.shape, generator=generator)).bfloat16() for n, t in base.items()}
        (folder / role).mkdir(parents=True)
        save_file(tensors, folder / role / "model.safetensors", metadata={"format": "pt"})
        config.save_pretrained(folder / role)
    return Models(folder / "base", folder / "safe", folder / "useful")


def stock_seconds(room: Path, models: Models, point: MergePoint) -> float:
    """Wall time of one stock merge, its process's start and the writing of its checkpoint included."""
    from merge.stock import stock_merge

    room.mkdir()
    text = to_yaml(mergekit_config(point, INPUTS["base"], INPUTS["safe"], INPUTS["useful"], "bfloat16"))
    started = time.monotonic()
    stock_merge(
        room, text, models, ("base", "safe", "useful"), seed=1, threads=os.cpu_count() or 1, level=kernel_level()
    )
    return time.monotonic() - started


def sweep(room: Path, ratios: int) -> Sweep:
    """Masks once and every ratio, each tensor copied into one standing buffer per tensor."""
    began = time.monotonic()
    from merge.masks import masks_for

    models = Models(*(room / "models" / role for role in ("base", "safe", "useful")))
    grid_points = [replace(point, ratio=Decimal(point.ratio)) for point in points(ratios)]
    masks = masks_for(room / "study", grid_points[0], models, threads=os.cpu_count() or 1)
    drawn = time.monotonic()
    from merge.blend import Blender

    blender = Blender(models.base, models.safe, models.useful, masks, kernel="compiled")
    opened = time.monotonic()
    taken: dict[str, Any] = {}
    blends = []
    for point in grid_points:
        started = time.monotonic()
        for name, tensor in blender.blend(point):
            if name in taken:
                taken[name].copy_(tensor)
            else:
                taken[name] = tensor
        blends.append(time.monotonic() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB
    return Sweep(drawn - began, opened - drawn, blends, time.monotonic() - began, peak)


def copy_rate() -> float:
    """GB/s of a plain copy between two tensors of 512 MB, bytes read and written both counted; best of 5."""
    import torch

    source = torch.ones(128 * 1024 * 1024)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(5):
        started = time.monotonic()
        target.copy_(source)
        best = min(best, time.monotonic() - started)
    return 2 * source.nbytes / best / GB


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="336m")
    parser.add_argument("--ratios", type=int, default=21)
    parser.add_argument("--measured", type=int, default=2, help="stock merges to time")
    parser.add_argument("--work", default=None, help="folder for models and merges, deleted afterwards")
    parser.add_argument("--sweep-only", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
