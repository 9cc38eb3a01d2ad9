"""Forecasts: numbers worked out by hand, and equal to what the real thing writes and takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from merge import materialize
from merge.adapters import adapt
from merge.bundle import BundleInputs
from merge.forecast import (
    BENCHMARK,
    BLEND_PER_COPY,
    COPIED_PER_ADAPTED,
    PROCESS_BYTES,
    SHARD_BYTES,
    START_S,
    STOCK_PER_COPY,
    Headers,
    MergeInputs,
    Rates,
    adapt_need,
    as_trained,
    blend_need,
    draw_need,
    export_need,
    fits_disk,
    hash_need,
    main_dtype,
    parameters_by_dtype,
    stock_need,
    stored_bytes,
)
from merge.masks import PLANES, drawn_masks, masks_for
from merge.points import MergePoint
from merge.sources import Models, StoredTensor, stored_dtype, stored_tensors
from merge.stock import stock_merge
from tests.merge.adapters import write_adapter
from tests.merge.conftest import DEMO_POINT, World, a_point

ROOT = Path(__file__).parents[2]
HALF = Decimal("0.5")
RATES = Rates(copy=10e9, digest=1e9, read=None)


def headers(dtype: str = "BF16", **shapes: tuple[int, ...]) -> Headers:
    return {name: StoredTensor(dtype, shape, Path("x.safetensors")) for name, shape in shapes.items()}


def a_merge(
    dtype: str = "BF16", *, densities: tuple[Decimal, ...] = (HALF, HALF), **shapes: tuple[int, ...]
) -> MergeInputs:
    model = headers(dtype, **shapes)
    return MergeInputs(model, tuple(model for _ in densities), densities, main_dtype(model))


def test_a_small_merge_by_hand() -> None:
    one = a_merge(a=(3,), b=(8193,), c=(2, 8192))
    # 24,580 parameters in bf16; planes: 1, 2 and 2 blocks of 1,024 bytes for each of two terms
    assert one.parameters == 24_580
    assert one.source_bytes == 3 * 2 * 24_580
    assert one.output_bytes == 2 * 24_580
    assert one.mask_bytes == 2 * 5 * 1024


def test_eight_and_a_quarter_bytes_a_parameter() -> None:
    one = a_merge(w=(1024, 8192))
    assert (one.source_bytes + one.mask_bytes + one.output_bytes) / one.parameters == 8.25
    # one task vector in float32: two models read, one mask bit, float32 out
    other = a_merge("F32", densities=(HALF,), w=(1024, 8192))
    assert (other.source_bytes + other.mask_bytes + other.output_bytes) / other.parameters == 8 + 0.125 + 4


def test_density_one_draws_nothing() -> None:
    assert a_merge(densities=(Decimal(1), HALF), w=(8192,)).mask_bytes == 1024
    assert a_merge(densities=(Decimal(1), Decimal(1)), w=(8192,)).mask_bytes == 0


def test_memory_by_hand() -> None:
    one = a_merge(big=(1_000_000,), small=(10,))
    # three float32 copies and 5 bytes of drawing; in mergekit's whole merge 28; two outputs in bf16
    assert one.draw_memory == PROCESS_BYTES + (3 * 4 + 5) * 1_000_000
    assert one.stock_memory == PROCESS_BYTES + (3 * 4 + 28) * 1_000_000
    assert one.blend_memory == PROCESS_BYTES + 2 * 1_000_010
    assert one.export_memory == 2 * 1_000_010
    # float32 sources stay in their files
    assert a_merge("F32", big=(1_000_000,)).draw_memory == PROCESS_BYTES + 5 * 1_000_000


def test_experts_of_a_layer_are_in_memory_together() -> None:
    experts = {f"model.layers.{i}.mlp.experts.{k}.up_proj.weight": (100,) for i in range(2) for k in range(8)}
    assert a_merge(**experts).draw_memory == PROCESS_BYTES + (3 * 4 + 5) * 800
    assert a_merge(**experts).blend_memory == PROCESS_BYTES + 2 * (2 + 3 * 4) * 800


def test_dtypes() -> None:
    mixed = {**headers(a=(100,)), **headers("F32", b=(60,)), **headers("I64", c=(5,))}
    assert parameters_by_dtype(mixed) == {"bfloat16": 100, "float32": 60}
    assert stored_bytes(mixed) == 2 * 100 + 4 * 60
    assert main_dtype(mixed) == "float32"  # by bytes, as the merge decides it
    assert parameters_by_dtype(as_trained(mixed)) == {"float32": 160}


def test_seconds_by_hand() -> None:
    one = a_merge(w=(100_000, 8192))
    billion = one.parameters / 1e9  # 0.8192
    assert hash_need(one, RATES).seconds == pytest.approx(6 * billion)
    assert draw_need(one, RATES, 1).seconds == pytest.approx(START_S + 2 * billion * 100 / 10)
    blending = blend_need(one, RATES, 21, cache=10**12)
    assert blending.seconds == pytest.approx(8.25 * billion / (10 * BLEND_PER_COPY))
    assert (blending.times, blending.written, blending.read) == (21, 0, one.source_bytes + one.mask_bytes)
    # the files do not stay in memory, and the disk is slower than the blend
    slow = blend_need(one, replace(RATES, read=1e9), 21, cache=10**6)
    assert slow.seconds == pytest.approx(6.25 * billion)
    # made once, written once, read back once; hashed on both ways
    exporting = export_need(one, RATES, blending)
    assert exporting.seconds == pytest.approx(blending.seconds + 2 * 2 * billion)
    on_disk = export_need(one, replace(RATES, read=0.5e9), blending)
    assert on_disk.seconds == pytest.approx(exporting.seconds + 2 * billion / 0.5)
    assert (exporting.times, exporting.written) == (0, one.output_bytes)
    assert exporting.read == blending.read + one.output_bytes
    assert stock_need(one, RATES, 3).seconds > 10 * blending.seconds


def test_merging_an_adapter_by_hand() -> None:
    base = headers(big=(1_000_000,), small=(500_000,))
    need = adapt_need(base, RATES, 2)
    # the whole model and its largest tensor once more in float32, and all of it in bf16 until it is written
    assert need.memory == PROCESS_BYTES + 4 * 2_500_000 + 2 * 1_500_000
    assert (need.times, need.read, need.written) == (2, 3_000_000, 3_000_000)
    assert need.seconds == pytest.approx(START_S + 1_500_000 * COPIED_PER_ADAPTED / 10e9)
    slow = adapt_need(base, replace(RATES, read=1e6), 1)
    assert slow.seconds == pytest.approx(START_S + 6)


def test_room_on_a_disk() -> None:
    assert fits_disk(1000, 1_100_000)
    assert not fits_disk(1000, 1_000_000)
    assert not fits_disk(1_000_000_000, 1_005_000_000)


def test_constants_are_those_of_the_code_and_the_benchmark_that_they_speak_of() -> None:
    assert materialize.SHARD_BYTES == SHARD_BYTES
    measured = json.loads((ROOT / BENCHMARK).read_text(encoding="utf-8"))["runs"]["336m"]
    merging = measured["stock_s"][0] - START_S
    stock_per_copy = 8 * measured["parameters"] / merging / 1e9 / measured["copy_gb_s"]
    assert 0.5 < measured["blend_per_copy"] / BLEND_PER_COPY < 2
    assert 0.5 < stock_per_copy / STOCK_PER_COPY < 2


def of_world(world: World, point: MergePoint) -> MergeInputs:
    tuned = tuple(stored_tensors(world.models.folder(role)) for role in point.term_roles)
    densities = tuple(point.density(role) for role in point.term_roles)
    return MergeInputs(stored_tensors(world.models.base), tuned, densities, stored_dtype(world.models.base))


def test_masks_take_what_was_forecast(shared_masks: Path, demo_world: World) -> None:
    drawn = masks_for(shared_masks, DEMO_POINT, demo_world.models, threads=1)
    forecast = of_world(demo_world, DEMO_POINT)
    assert forecast.mask_bytes == (drawn / PLANES).stat().st_size
    assert main_dtype(forecast.base) == stored_dtype(demo_world.models.base)


def test_drawn_masks_are_found_without_torch(shared_masks: Path, demo_world: World, tmp_path: Path) -> None:
    drawn = masks_for(shared_masks, DEMO_POINT, demo_world.models, threads=1)
    assert drawn_masks(shared_masks, DEMO_POINT, demo_world.models, threads=1) == drawn
    assert drawn_masks(shared_masks, replace(DEMO_POINT, mask_seed=99), demo_world.models, threads=1) is None
    assert drawn_masks(shared_masks, DEMO_POINT, demo_world.models, threads=2) is None
    assert drawn_masks(tmp_path, DEMO_POINT, demo_world.models, threads=1) is None


def test_a_checkpoint_takes_what_was_forecast(demo_world: World, inputs: BundleInputs, tmp_path: Path) -> None:
    materialize.materialize(DEMO_POINT, inputs.merger, demo_world.models, tmp_path / "out")
    assert of_world(demo_world, DEMO_POINT).output_bytes == stored_bytes(stored_tensors(tmp_path / "out"))


@contextmanager
def own_memory_watched() -> Iterator[list[int]]:
    """Bytes of anonymous memory that the largest child of this process takes, as often as it can be read."""
    seen, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            for task in Path("/proc/self/task").iterdir():
                seen.extend(_anonymous(pid) for pid in _read(task / "children").split())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def _anonymous(pid: str) -> int:
    line = next(
        (line for line in _read(Path("/proc", pid, "status")).splitlines() if line.startswith("RssAnon")), "0 0"
    )
    return int(line.split()[1]) * 1024


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""  # it has ended meanwhile


BLENDING = """
import sys
from pathlib import Path
from merge.blend import Blender
from tests.merge.conftest import a_point
*models, masks = map(Path, sys.argv[1:])
for _, tensor in Blender(*models, masks).blend(a_point()):
    pass
"""


@pytest.fixture(scope="module")
def midsize(tmp_path_factory: pytest.TempPathFactory) -> Models:
    from benchmarks.merge_grid import build

    shape = {"hidden_size": 512, "num_hidden_layers": 4, "intermediate_size": 1408, "vocab_size": 96_000}
    return build(tmp_path_factory.mktemp("midsize"), **shape)


@pytest.mark.deep
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
@pytest.mark.parametrize("work", ["draw", "blend", "stock", "adapt"])
def test_memory_is_at_least_and_at_most_twice_what_was_measured(
    work: str, midsize: Models, tmp_path_factory: pytest.TempPathFactory
) -> None:
    study = tmp_path_factory.mktemp("study")
    point, folders = a_point(), (midsize.base, midsize.safe, midsize.useful)
    forecast = of_world(World(midsize, "bfloat16"), point)
    if work == "adapt":
        adapter = write_adapter(midsize.base, study / "lora")
    if work == "blend":
        masks = masks_for(study, point, midsize, threads=1)
    with own_memory_watched() as seen:
        if work == "draw":
            masks_for(study, point, midsize, threads=1)
        elif work == "adapt":
            adapt(midsize.base, adapter, study / "adapted")
        elif work == "blend":
            environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
            subprocess.run(
                [sys.executable, "-c", BLENDING, *map(str, folders), str(masks)], check=True, env=environment
            )
        else:
            stock(study, midsize, point)
    needed = {
        "draw": forecast.draw_memory,
        "blend": forecast.blend_memory,
        "stock": forecast.stock_memory,
        "adapt": adapt_need(forecast.base, RATES, 1).memory,
    }[work]
    waiting = forecast.output_bytes if work == "stock" else 0  # the stock command's shard, which a sweep has not
    assert max(seen) <= needed + waiting <= 2 * max(seen)


def stock(room: Path, models: Models, point: MergePoint) -> None:
    from merge.identity import kernel_level
    from merge.mergekit_yaml import INPUTS, mergekit_config, to_yaml

    text = to_yaml(mergekit_config(point, INPUTS["base"], INPUTS["safe"], INPUTS["useful"], "bfloat16"))
    stock_merge(room, text, models, ("base", "safe", "useful"), seed=1, threads=1, level=kernel_level())


@pytest.mark.deep
@pytest.mark.parametrize("mode", ["complementary", "into-useful"])
def test_masks_of_a_mixture_take_at_most_what_was_forecast(
    worlds: Callable[..., World], tmp_path: Path, mode: str
) -> None:
    world, point = worlds("qwen3_moe"), replace(a_point(), mode=mode)  # type: ignore[arg-type]
    drawn = (masks_for(tmp_path, point, world.models, threads=1) / PLANES).stat().st_size
    assert drawn <= of_world(world, point).mask_bytes <= 2 * drawn
