"""The blend on a GPU: share of its copy bandwidth with inputs on the device, of the host-to-device bandwidth without.

    python -m benchmarks.blend_gpu [--size 336m] [--work FOLDER]

Needs a CUDA device. Blends and copies take turns in one process; medians are kept. Every tensor is also compared
with the CPU's in every bit. Writes benchmarks/results/blend_gpu.json with device and versions.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.merge_grid import GB, SIZES, build, points
from merge.blend import Blender
from merge.bundle import versions
from merge.gpu import Gpu, Keep
from merge.masks import masks_for
from merge.points import MergePoint

RESULT = Path(__file__).parent / "results" / "blend_gpu.json"
TURNS = 9
"""Blends and copies timed in turns."""
COPIED = 1 << 30
"""Bytes of one copy."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="336m")
    parser.add_argument("--work", default=None, help="folder for models, deleted afterwards")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no CUDA device on this machine: nothing to measure")
    with tempfile.TemporaryDirectory(dir=arguments.work) as room:
        result = run(Path(room), arguments.size)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def run(room: Path, size: str) -> dict[str, Any]:
    """Build the models and measure every way in which inputs reach the device."""
    models = build(room / "models", **SIZES[size])
    point = points(21)[6]
    masks = masks_for(room / "study", point, models, threads=1)
    here = Blender(models.base, models.safe, models.useful, masks)
    parameters = sum(record.numel for record in here.masks.tensors)
    ways: dict[Keep, Any] = {}
    for keep in ("device", "pinned", "mapped"):
        there = Blender(models.base, models.safe, models.useful, masks, device=Gpu(keep=keep))
        ways[keep] = measured(there, point, parameters, host=keep != "device")
        ways[keep]["differing_tensors"] = differing(here, there, point)
        del there
        torch.cuda.empty_cache()
    return {
        "device": torch.cuda.get_device_name(),
        "parameters": parameters,
        "ways": ways,
        "versions": {**versions(), "python": platform.python_version(), "cuda": torch.version.cuda},
    }


def measured(blender: Blender, point: MergePoint, parameters: int, *, host: bool) -> dict[str, float]:
    """Medians of blends and of copies of the kind that bounds them: within the device, or from pinned host memory."""
    source = torch.empty(COPIED, dtype=torch.uint8, device="cpu" if host else "cuda", pin_memory=host)
    target = torch.empty(COPIED, dtype=torch.uint8, device="cuda")
    copied = COPIED if host else 2 * COPIED  # read and written, both in device memory
    for _ in range(2):
        _blended(blender, point)  # builds the kernels, and puts the inputs where they stay
    pairs = [
        (seconds(lambda: _blended(blender, point)), seconds(lambda: target.copy_(source, non_blocking=True)))
        for _ in range(TURNS)
    ]
    blend_s, copy_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    moved = parameters * (6.25 if host else 8.25)  # the output stays on the device
    return {
        "blend_s": round(blend_s, 5),
        "blend_gb_s": round(moved / blend_s / GB, 1),
        "copy_gb_s": round(copied / copy_s / GB, 1),
        "blend_per_copy": round(moved / blend_s / (copied / copy_s), 3),
    }


def _blended(blender: Blender, point: MergePoint) -> None:
    for _name, _tensor in blender.blend(point):
        pass


def seconds(work: Callable[[], object]) -> float:
    """Wall time until the device has finished."""
    torch.cuda.synchronize()
    started = time.monotonic()
    work()
    torch.cuda.synchronize()
    return time.monotonic() - started


def differing(here: Blender, there: Blender, point: MergePoint) -> int:
    """Tensors whose bits differ between the two."""
    pairs = zip(here.blend(point), there.blend(point), strict=True)
    return sum(not torch.equal(a.view(torch.int16), b.cpu().view(torch.int16)) for (_, a), (_, b) in pairs)


if __name__ == "__main__":
    main()
