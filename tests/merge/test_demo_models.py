"""The demo's own models, trained by the shipped recipe: three ratios against the stock command, then a bundle."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from eval.store import open_store
from merge.blend import Blender
from merge.identity import kernel_level
from merge.masks import masks_for
from merge.points import grid
from merge.sources import Models
from mergescope.study import load_study
from tests.merge.conftest import World
from tests.merge.test_blend import assert_same_bits

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped recipe, trained in a folder of its own."""
    file = tmp_path_factory.mktemp("demo") / "demo.yaml"
    shutil.copy(ROOT / "studies" / "demo.yaml", file)
    mergescope("train", file)
    return file


def mergescope(*arguments: object) -> str:
    command = [sys.executable, "-m", "mergescope", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.deep
def test_demo_blends_equal_stock(recipe: Path, stock: Callable[..., Path]) -> None:
    study = load_study(recipe)
    models = Models(*(Path(study.model(role)) for role in ("base", "safe", "useful")))
    first = grid(study.recipe.merge)[0]
    masks = masks_for(study.folder, first, models, threads=study.recipe.merge.threads)
    blender = Blender(models.base, models.safe, models.useful, masks)
    for ratio in ("0", "0.4", "1"):
        point = replace(first, ratio=Decimal(ratio))
        merged = stock(World(models, blender.out_dtype), point, threads=blender.masks.threads, level=kernel_level())
        assert_same_bits(dict(blender.blend(point)), merged)


@pytest.mark.deep
def test_a_bundle_from_the_command_line_verifies(recipe: Path, tmp_path: Path) -> None:
    study = load_study(recipe)
    store = tmp_path / "results.duckdb"
    with open_store(store, read_only=False):
        pass  # nothing was evaluated
    mergescope("export", recipe, "--ratio", "0.35", "--out", tmp_path / "bundle", "--store", store, "--materialize")
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    for role in ("base", "safe", "useful"):
        (inputs / role).symlink_to(study.model(role))
    assert "equal in every bit" in mergescope("verify", tmp_path / "bundle", "--inputs", inputs)
    text = "".join(file.read_text() for file in (tmp_path / "bundle").iterdir() if file.is_file())
    assert str(tmp_path) not in text
    assert str(recipe.parent) not in text
