"""Models with code of their own: merged as stock mergekit does with --trust-remote-code, and only when allowed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from merge.blend import Blender
from merge.identity import kernel_level
from merge.masks import masks_for
from merge.materialize import materialize
from merge.mergekit_yaml import command
from merge.merger import open_merger
from mergescope.ground.errors import CheckpointError
from tests.merge.conftest import World, a_point, build_models
from tests.merge.own_code import with_own_code
from tests.merge.test_blend import assert_same_bits


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = build_models(tmp_path)
    return replace(made, models=with_own_code(made.models))


def test_the_exported_command_says_it_too() -> None:
    assert command(a_point(), 1)[-1] == "cpu"
    assert command(a_point(), 1, trust_remote_code=True)[-1] == "--trust-remote-code"


def test_not_without_permission(world: World, tmp_path: Path) -> None:
    wary = replace(world.models, trust_remote_code=False)
    with pytest.raises(CheckpointError, match=r"config\.json: .*auto_map.*merge\.trust_remote_code: true"):
        masks_for(tmp_path / "study", a_point(), wary, threads=1)


@pytest.mark.deep
def test_blend_equals_stock(world: World, stock: Callable[..., Path], tmp_path: Path) -> None:
    models, point = world.models, a_point()
    masks = masks_for(tmp_path / "study", point, models, threads=1)
    ours = dict(Blender(models.base, models.safe, models.useful, masks).blend(point))
    assert_same_bits(ours, stock(world, point, level=kernel_level()))


@pytest.mark.deep
@pytest.mark.usefixtures("code_cache")
def test_a_written_merge_carries_the_code_that_reads_it(world: World, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    merger = open_merger(tmp_path / "study", a_point(), world.models, threads=1)
    materialize(a_point(), merger, world.models, tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=True)
    assert type(model).__name__ == "OwnForCausalLM"
