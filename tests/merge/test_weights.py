"""Weights as values: they can be sent elsewhere, and give the same tensors there."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from merge.merger import Merger, open_merger
from merge.points import MergePoint
from merge.sources import Models
from merge.tensor_bytes import entries_hash, tensor_entry
from merge.weights import MergeWeights, StoredWeights
from mergescope.ground.errors import CheckpointError
from tests.merge.conftest import DEMO_POINT, World

ELSEWHERE = """
import pickle, sys
from merge.tensor_bytes import entries_hash, tensor_entry
weights = pickle.loads(bytes.fromhex(sys.argv[1]))
print(entries_hash({name: tensor_entry(tensor) for name, tensor in weights({})}))
"""


def hash_of(weights: StoredWeights | MergeWeights) -> str:
    return entries_hash({name: tensor_entry(tensor) for name, tensor in weights({})})


def hash_elsewhere(weights: StoredWeights | MergeWeights) -> str:
    """The hash of what a pickled copy gives in another process."""
    command = [sys.executable, "-c", ELSEWHERE, pickle.dumps(weights).hex()]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_folder_s_tensors_here_and_elsewhere(demo_world: World) -> None:
    weights = StoredWeights(demo_world.models.safe)
    stored = load_file(demo_world.models.safe / "model.safetensors")
    assert hash_of(weights) == entries_hash({name: tensor_entry(tensor) for name, tensor in stored.items()})
    assert hash_elsewhere(weights) == hash_of(weights)


def test_a_merge_s_tensors_here_and_elsewhere(demo_world: World, shared_masks: Path) -> None:
    merger = open_merger(shared_masks, DEMO_POINT, demo_world.models, threads=1)
    weights = MergeWeights(shared_masks, DEMO_POINT, demo_world.models, 1, "cpu")
    wanted = entries_hash({name: tensor_entry(tensor) for name, tensor in merger.blend(DEMO_POINT)})
    assert hash_of(weights) == hash_elsewhere(weights) == wanted
    assert hash_of(replace(weights, point=replace(DEMO_POINT, ratio=Decimal("0.7")))) != wanted


def test_places_are_filled(demo_world: World, shared_masks: Path) -> None:
    weights = MergeWeights(shared_masks, DEMO_POINT, demo_world.models, 1, "cpu")
    places = {name: torch.zeros_like(tensor) for name, tensor in weights({})}
    assert all(tensor.data_ptr() == places[name].data_ptr() for name, tensor in weights(places))
    assert entries_hash({name: tensor_entry(tensor) for name, tensor in places.items()}) == hash_of(weights)


@pytest.mark.deep
def test_one_merger_serves_all_ratios_until_a_weight_changes(
    worlds: Callable[..., World], shared_masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[MergePoint] = []

    def noted(folder: Path, point: MergePoint, models: Models, **others: Any) -> Merger:
        opened.append(point)
        return open_merger(folder, point, models, **others)

    monkeypatch.setattr("merge.weights.open_merger", noted)
    models = worlds("llama").models
    copies = Models(*(Path(shutil.copytree(models.folder(r), tmp_path / r)) for r in ("base", "safe", "useful")))
    weights = MergeWeights(shared_masks, DEMO_POINT, copies, 1, "cpu")
    weights.opened()
    before = hash_of(weights)
    hash_of(replace(weights, point=replace(DEMO_POINT, ratio=Decimal("0.9"), lambda_=Decimal("0.5"))))
    assert len(opened) == 1
    seeded = replace(DEMO_POINT, mask_seed=DEMO_POINT.mask_seed + 1)
    assert hash_of(replace(weights, point=seeded)) != before
    assert opened == [DEMO_POINT, seeded]
    file = copies.safe / "model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"safe: the weights changed since the sweep began; wait .* run again"):
        hash_of(weights)
    assert len(opened) == 2
    assert hash_of(MergeWeights(shared_masks, DEMO_POINT, copies, 1, "cpu")) != before
    assert len(opened) == 3


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_folder_that_is_written_meanwhile_is_refused(demo_world: World, tmp_path: Path, when: str) -> None:
    folder = Path(shutil.copytree(demo_world.models.safe, tmp_path / "safe"))
    weights = StoredWeights(folder)
    tensors = weights({})
    if when == "between":
        next(tensors)
    file = folder / "model.safetensors"
    stored = load_file(demo_world.models.safe / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in stored.items()}, file, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"the weights changed since the sweep began; .*run again"):
        list(tensors)
