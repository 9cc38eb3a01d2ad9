"""21 ratios: a loop of stock mergekit-yaml against masks once and 21 blends, in one run on one machine.

    python -m benchmarks.merge_grid [--sizes 336m 170m demo] [--measured 3] [--ratios 21] [--work FOLDER]

Prints and writes benchmarks/results/merge_grid.json with machine and versions. The stock loop is measured at a few
ratios and multiplied: its time does not depend on the ratio. The sweep is one whole process from start to end, with
nothing remembered from before: imports, hashing of the inputs, drawing of the masks, building of the loops and every
blend, one ratio at a time, every byte put where the embedded engine keeps its weights. Stock merges and sweeps take
turns, so that both meet the same noise. `demo` takes the demo's own models, from studies/demo.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measured_on import cpu
from merge.bundle import versions
from merge.config import MergeSection, RatioRange
from merge.identity import kernel_level
from merge.mergekit_yaml import INPUTS, mergekit_config, to_yaml
from merge.merger import Merger, open_merger
from merge.points import MergePoint, Role, grid
from merge.sources import Models, stored_dtype, stored_tensors, weight_files
from mergescope.environment import share_cores

if TYPE_CHECKING:
    from merge.blend import Blender

HERE = Path(__file__).parent
RESULT = HERE / "results" / "merge_grid.json"
SIZES = {
    "336m": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 2816, "vocab_size": 32000},
    "170m": {"hidden_size": 1024, "num_hidden_layers": 11, "intermediate_size": 2816, "vocab_size": 32000},
    "42m": {"hidden_size": 512, "num_hidden_layers": 8, "intermediate_size": 1408, "vocab_size": 32000},
}
DEMO = HERE.parent / "studies" / "demo"
ROLES: tuple[Role, ...] = ("base", "safe", "useful")
GB = 1e9
AGAIN = 5
"""Blends and copies that are timed in turns for the share of the copy's bandwidth."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What one whole sweep took, seen from inside."""

    masks_s: float
    """Checking, hashing and drawing, with the start of the drawing process and the build of the loops."""
    blends_s: list[float]
    """Each ratio's pass, in seconds, every tensor put into the engine's place."""
    wall_s: float
    """From the start of the process to the last byte of the last ratio."""
    peak_gb: float
    """Largest resident memory of the sweep's own process, mapped files and the engine's weights included."""
    engine_gb: float
    """The engine's weights in it."""
    masks_peak_gb: float
    """The same of the drawing process."""
    bytes_written: int
    """What the process and its child handed to the file system, as the kernel counts it: masks and the loops."""
    blend_s: float
    """Median of such passes in turns with copies."""
    copy_gb_s: float
    """Median rate of a plain copy of 512 MB, bytes read and written both counted."""
    many_s: float
    """All ratios at once: each tensor read once, every output handed on and dropped."""


def main() -> None:
    arguments = _arguments()
    if arguments.sweep_only:
        print(json.dumps(asdict(sweep(Path(arguments.work), arguments.ratios))))
        return
    runs = {}
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory(dir=arguments.work) as room:
            runs[size] = run(Path(room), size, arguments.ratios, arguments.measured)
            print(size, json.dumps(runs[size], indent=1), flush=True)
    machine = {"cpu": cpu(), "cores": os.cpu_count(), "kernel_level": kernel_level()}
    result = {"machine": machine, "versions": {**versions(), "python": platform.python_version()}, "runs": runs}
    before = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else {}
    if {**before, "runs": None} == {**result, "runs": None}:  # other sizes, measured on the same machine and versions
        result["runs"] = before["runs"] | runs
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def run(room: Path, size: str, ratios: int, measured: int) -> dict[str, Any]:
    """Build the models in `room`, run both ways in turns, and put the numbers together."""
    models = Models(*(DEMO / name for name in ("base", "model-safe", "model-useful")))
    if size != "demo":
        models = build(room / "models", **SIZES[size])
    (room / "models.json").write_text(json.dumps([str(models.folder(r).resolve()) for r in ROLES]))
    stock_s, sweeps = [], []
    for i, point in enumerate(points(ratios)[1 : measured + 1]):
        stock_s.append(stock_seconds(room / f"stock-{i}", models, point))
        sweeps.append(swept(room, ratios, i))
    stock = statistics.median(stock_s)
    middle = sorted(sweeps, key=lambda s: s.wall_s)[(len(sweeps) - 1) // 2]
    tensors = stored_tensors(models.base).values()
    parameters = sum(t.numel for t in tensors)
    per_parameter = 4 * {"float32": 4, "bfloat16": 2, "float16": 2}[stored_dtype(models.base)] + 0.25
    files = [file for role in ROLES for file in weight_files(models.folder(role))]
    mapped = sum(file.stat().st_size for file in files) / GB
    blend_gb_s = parameters * per_parameter / middle.blend_s / GB
    return {
        "parameters": parameters,
        "ratios": ratios,
        "stock_s": _rounded(stock_s),
        "stock_loop_s": round(stock * ratios, 1),
        "sweep_s": _rounded([s.wall_s for s in sweeps]),
        "times_faster": round(stock * ratios / middle.wall_s, 1),
        "masks_s": _rounded([s.masks_s for s in sweeps]),
        "masks_per_stock_merge": round(middle.masks_s / stock, 3),
        "first_ratio_s": round(middle.blends_s[0], 3),
        "ratio_s": round(statistics.median(middle.blends_s), 4),
        "many_ratios_at_once_s": round(middle.many_s, 2),
        "bytes_per_parameter": per_parameter,
        "blend_gb_s": round(blend_gb_s, 2),
        "copy_gb_s": round(middle.copy_gb_s, 2),
        "blend_per_copy": round(blend_gb_s / middle.copy_gb_s, 2),
        "peak_gb": round(middle.peak_gb, 2),
        "engine_gb": round(middle.engine_gb, 2),
        "beyond_inputs_and_engine_gb": round(middle.peak_gb - middle.engine_gb - mapped, 2),
        "masks_peak_gb": round(middle.masks_peak_gb, 2),
        "mapped_gb": round(mapped, 2),
        "bytes_written": middle.bytes_written,
        "checkpoints_written": 0,
    }


def _rounded(seconds: list[float]) -> list[float]:
    return [round(s, 2) for s in seconds]


def swept(room: Path, ratios: int, number: int) -> Sweep:
    """One whole sweep in a process of its own, with nothing remembered from before."""
    done = subprocess.run(
        [sys.executable, __file__, "--sweep-only", "--work", str(room), "--ratios", str(ratios)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(room / f"cache-{number}"),
            "STUDY": str(room / f"study-{number}"),
            "STARTED": str(time.monotonic()),
        },
    )
    return Sweep(**json.loads(done.stdout.strip().splitlines()[-1]))


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
    # norms about 1, as in real models: with small ones every layer adds next to nothing, and all answers are alike
    middle = {name: 1.0 if len(size) == 1 else 0.0 for name, size in shapes.items()}
    base = {name: middle[name] + torch.randn(size, generator=generator) * 0.02 for name, size in shapes.items()}
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
    stock_merge(room, text, models, ROLES, seed=1, threads=os.cpu_count() or 1, level=kernel_level())
    return time.monotonic() - started


def sweep(room: Path, ratios: int) -> Sweep:
    """Masks once and every ratio, each tensor put into standing memory of its own, as the embedded engine does."""
    share_cores()  # as the command line does
    began = time.monotonic()
    models = Models(*map(Path, json.loads((room / "models.json").read_text(encoding="utf-8"))))
    grid_points = points(ratios)
    merger: Any = open_merger(Path(os.environ["STUDY"]), grid_points[0], models, threads=os.cpu_count() or 1)
    masks_s = time.monotonic() - began
    taken: dict[str, Any] = {}
    blends_s = [_handed_over(merger, point, taken) for point in grid_points]
    wall_s = time.monotonic() - float(os.environ["STARTED"])
    peak_gb, masks_peak_gb = _peak_gb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / GB
    engine_gb = sum(tensor.nbytes for tensor in taken.values()) / GB
    written = _bytes_written()
    pairs = [(_handed_over(merger, point, taken), copy_rate()) for point in grid_points[:AGAIN]]
    return Sweep(
        masks_s=masks_s,
        blends_s=blends_s,
        wall_s=wall_s,
        peak_gb=peak_gb,
        engine_gb=engine_gb,
        masks_peak_gb=masks_peak_gb,
        bytes_written=written,
        blend_s=statistics.median(seconds for seconds, _ in pairs),
        copy_gb_s=statistics.median(rate for _, rate in pairs),
        many_s=_many(merger, grid_points),
    )


def _handed_over(merger: Merger, point: MergePoint, taken: dict[str, Any]) -> float:
    started = time.monotonic()
    for name, tensor in merger.blend(point, taken):
        if name not in taken:
            taken[name] = tensor
        elif taken[name].data_ptr() != tensor.data_ptr():
            taken[name].copy_(tensor)
    return time.monotonic() - started


def _many(merger: Blender, grid_points: list[MergePoint]) -> float:
    started = time.monotonic()
    for _name, _tensors in merger.blend_many(grid_points):
        pass
    return time.monotonic() - started


def _peak_gb() -> float:
    """Of this process alone: ru_maxrss would count what its parent held when it started this one."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024 / GB


def _bytes_written() -> int:
    """As the kernel counts them for this process and its finished children."""
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("write_bytes")).split()[1])


def copy_rate() -> float:
    """GB/s of a plain copy between two tensors of 512 MB, bytes read and written both counted."""
    import torch

    source = torch.ones(128 * 1024 * 1024)
    target = torch.zeros_like(source)
    started = time.monotonic()
    target.copy_(source)
    return 2 * source.nbytes / (time.monotonic() - started) / GB


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=[*SIZES, "demo"], default=["336m", "170m", "demo"])
    parser.add_argument("--ratios", type=int, default=21)
    parser.add_argument("--measured", type=int, default=3, help="stock merges to time")
    parser.add_argument("--work", default=None, help="folder for models and merges, deleted afterwards")
    parser.add_argument("--sweep-only", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
