"""Masks: drawn once, kept apart by what they depend on, believed only while their inputs stand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

import merge.masks
from merge.blend import Blender
from merge.child import Child
from merge.masks import PLANES, mask_setting, masks_for, open_masks
from merge.points import MergePoint
from merge.sources import Models
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.files import MANIFEST
from mergescope.ground.progress import Reporter
from tests.merge.conftest import DEMO_POINT, World, a_point


@pytest.fixture
def masks(shared_masks: Path, demo_world: World) -> Path:
    return masks_for(shared_masks, DEMO_POINT, demo_world.models, threads=1)


def blender(world: World, masks: Path) -> Blender:
    return Blender(world.models.base, world.models.safe, world.models.useful, masks)


def test_drawn_once(shared_masks: Path, demo_world: World, masks: Path) -> None:
    before = (masks / PLANES).stat()
    other_ratio = replace(DEMO_POINT, ratio=Decimal("0.9"), lambda_=Decimal(2))
    assert masks_for(shared_masks, other_ratio, demo_world.models, threads=1) == masks
    assert (masks / PLANES).stat() == before


@pytest.mark.parametrize(
    "other",
    [
        replace(DEMO_POINT, mask_seed=12),
        replace(DEMO_POINT, density_safe=Decimal("0.6")),
        replace(DEMO_POINT, density_useful=Decimal("0.6")),
        replace(DEMO_POINT, mode="additive"),
        replace(DEMO_POINT, rescale=False),
    ],
)
def test_setting_holds_all_that_masks_depend_on(other: MergePoint) -> None:
    assert mask_setting(other) != mask_setting(DEMO_POINT)


def test_two_bits_a_parameter_and_densities_as_asked(masks: Path) -> None:
    opened = open_masks(masks)
    large = [record for record in opened.tensors if record.name.endswith("mlp.up_proj.weight")]
    assert (masks / PLANES).stat().st_size < 3 * sum(r.shape[0] * r.shape[1] for r in large)
    for term, density in zip(large[0].terms, (0.5, 0.3), strict=True):
        # k is about 1 / density: the L1 norm that is left is about that share.
        assert term.scale == pytest.approx(1 / density, rel=0.05)


def test_a_point_of_other_masks_is_refused(demo_world: World, masks: Path) -> None:
    for other in (replace(DEMO_POINT, mask_seed=99), replace(DEMO_POINT, normalize=True)):
        with pytest.raises(MergescopeError, match="other masks"):
            next(blender(demo_world, masks).blend(other))


def test_changed_weights_are_noticed(demo_world: World, masks: Path, tmp_path: Path) -> None:
    shutil.copytree(demo_world.models.safe, tmp_path / "safe")
    file = tmp_path / "safe" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="changed since"):
        Blender(demo_world.models.base, tmp_path / "safe", demo_world.models.useful, masks)


def test_unfinished_masks_are_no_masks(demo_world: World, masks: Path, tmp_path: Path) -> None:
    shutil.copytree(masks, tmp_path / "masks")
    (tmp_path / "masks" / MANIFEST).unlink()
    with pytest.raises(CheckpointError, match="no finished masks"):
        blender(demo_world, tmp_path / "masks")


def test_many_ratios_at_once_are_the_same_ratios(demo_world: World, masks: Path) -> None:
    opened = blender(demo_world, masks)
    points = [replace(DEMO_POINT, ratio=Decimal(ratio)) for ratio in ("0", "0.25", "1")]
    singly = [dict(opened.blend(point)) for point in points]
    for name, tensors in opened.blend_many(points):
        for i, tensor in enumerate(tensors):
            assert tensor.equal(singly[i][name])


@pytest.mark.deep
@pytest.mark.parametrize("family", ["llama", "qwen3_moe"])
def test_drawing_again_gives_the_same_bytes(worlds: Callable[..., World], tmp_path: Path, family: str) -> None:
    # Python's string hashes differ between processes; the order of a mixture's fused tensors must not.
    first, again = (masks_for(tmp_path / n, a_point(), worlds(family).models, threads=1) for n in ("a", "b"))
    assert (first / PLANES).read_bytes() == (again / PLANES).read_bytes()
    assert open_masks(first).tensors == open_masks(again).tensors


@pytest.mark.deep
def test_paths_that_mergekit_would_misread(demo_world: World, tmp_path: Path) -> None:
    odd = tmp_path / "a+b@c d"
    shutil.copytree(demo_world.models.base.parent, odd)
    models = type(demo_world.models)(odd / "base", odd / "safe", odd / "useful")
    masks = masks_for(tmp_path / "study+1", a_point(), models, threads=1)
    assert list(Blender(models.base, models.safe, models.useful, masks).blend(a_point()))


@pytest.mark.deep
def test_masks_that_were_drawn_but_not_yet_named_are_taken(demo_world: World, tmp_path: Path) -> None:
    point = a_point("0.2", safe="0.4")
    drawn = masks_for(tmp_path, point, demo_world.models, threads=1)
    drawn.rename(drawn.with_name("new"))  # as a kill between drawing and naming leaves them
    before = (drawn.with_name("new") / PLANES).stat().st_ino
    assert masks_for(tmp_path, point, demo_world.models, threads=1) == drawn
    assert (drawn / PLANES).stat().st_ino == before
    assert [folder.name for folder in drawn.parent.iterdir()] == [drawn.name]


@pytest.mark.deep
def test_weights_that_change_while_masks_are_drawn_are_refused(
    demo_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(demo_world.models.base.parent, tmp_path / "models")
    models = Models(*(tmp_path / "models" / role for role in ("base", "safe", "useful")))
    file = models.useful / "model.safetensors"
    follow = merge.masks._follow

    def changed_at_its_end(process: Child, reporter: Reporter) -> None:
        follow(process, reporter)
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)

    monkeypatch.setattr("merge.masks._follow", changed_at_its_end)
    with pytest.raises(CheckpointError, match="changed while masks were drawn"):
        masks_for(tmp_path / "study", DEMO_POINT, models, threads=1)
    assert not list((tmp_path / "study" / "masks").iterdir())


@pytest.mark.deep
def test_a_killed_first_draw_leaves_nothing_for_ever(demo_world: World, tmp_path: Path) -> None:
    (tmp_path / "masks" / ".new.4242.part").mkdir(parents=True)
    (tmp_path / "masks" / "new").mkdir()
    drawn = masks_for(tmp_path, DEMO_POINT, demo_world.models, threads=1)
    assert [folder.name for folder in drawn.parent.iterdir()] == [drawn.name]
