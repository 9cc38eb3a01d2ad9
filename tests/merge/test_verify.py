"""Verification: every bit compared, likely causes named, nothing of the bundle believed unchecked."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from merge.bundle import BundleInputs, write_bundle
from merge.merger import open_merger
from merge.sources import stored_tensors
from merge.verify import verify
from mergescope.ground.errors import MergescopeError
from tests.merge.conftest import World, a_point


def change_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_verify_agrees(bundle: Path, demo_world: World) -> None:
    report = verify(bundle, demo_world.models.base.parent)
    assert report.ok
    assert report.compared == len(stored_tensors(demo_world.models.base))
    assert report.causes == ()


@pytest.mark.deep
def test_verify_names_the_tensor_and_the_seed(bundle: Path, demo_world: World) -> None:
    change_manifest(bundle, lambda m: m.update(seed=12, point={**m["point"], "mask_seed": 12}))
    report = verify(bundle, demo_world.models.base.parent)
    assert "model.layers.0.mlp.up_proj.weight" in report.differing
    assert report.causes[0].startswith("other masks")


@pytest.mark.deep
def test_verify_notices_an_edited_ratio(bundle: Path, demo_world: World) -> None:
    config = yaml.safe_load((bundle / "mergekit.yaml").read_text())
    config["models"][0]["parameters"]["weight"] = 0.31
    (bundle / "mergekit.yaml").write_text(yaml.safe_dump(config))
    report = verify(bundle, demo_world.models.base.parent)
    assert not report.ok
    assert report.causes[0].startswith("same masks and scales")


@pytest.mark.deep
def test_verify_tells_a_scale_from_a_mask(bundle: Path, demo_world: World) -> None:
    def nudge(manifest: dict[str, Any]) -> None:
        name = "model.layers.0.mlp.up_proj.weight"
        manifest["tensors"][name]["sha256"] = "0" * 64
        scales = manifest["masks"]["scales"][name]
        scales["safe"] = float(np.nextafter(np.float32(scales["safe"]), np.float32(9)))

    change_manifest(bundle, nudge)
    report = verify(bundle, demo_world.models.base.parent)
    assert report.differing == ("model.layers.0.mlp.up_proj.weight",)
    assert report.causes[0] == "same masks, scale differs by up to 1 ulp: other CPU or number of threads"


@pytest.mark.deep
def test_a_bundle_of_what_mergekit_itself_merged(demo_world: World, tmp_path: Path) -> None:
    point = a_point("0.3", method="della", gradient=(Decimal("0.5"), Decimal(1)), int8_mask=True)
    merger = open_merger(tmp_path, point, demo_world.models, threads=1)
    write_bundle(tmp_path / "bundle", point, BundleInputs(demo_world.models, merger), {})
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["masks"] is None
    assert verify(tmp_path / "bundle", demo_world.models.base.parent).ok
    change_manifest(tmp_path / "bundle", lambda manifest: manifest.update(seed=12))
    report = verify(tmp_path / "bundle", demo_world.models.base.parent)
    assert "model.layers.0.mlp.up_proj.weight" in report.differing
    assert report.causes[0].startswith("mergekit itself made this merge")


def test_keys_are_those_of_the_method(bundle: Path, demo_world: World) -> None:
    config = yaml.safe_load((bundle / "mergekit.yaml").read_text())
    for method, complaint in (
        ("task_arithmetic", "unknown key parameters.rescale"),
        ("sce", "a method that no bundle"),
    ):
        (bundle / "mergekit.yaml").write_text(yaml.safe_dump({**config, "merge_method": method}))
        with pytest.raises(MergescopeError, match=complaint):
            verify(bundle, demo_world.models.base.parent)


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("", "random_seed: 3"),
        ("models.0", "revision: x"),
        ("models.0.parameters", "epsilon: 1"),
        ("parameters", "t: 1"),
    ],
)
def test_unknown_keys_are_refused(bundle: Path, demo_world: World, place: str, line: str) -> None:
    config = yaml.safe_load((bundle / "mergekit.yaml").read_text())
    target = config
    for step in filter(None, place.split(".")):
        target = target[int(step) if step.isdigit() else step]
    target.update(yaml.safe_load(line))
    (bundle / "mergekit.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(MergescopeError, match=f"unknown key .*{line.split(':')[0]}"):
        verify(bundle, demo_world.models.base.parent)


def test_symbolic_links_and_foreign_models_are_refused(bundle: Path, demo_world: World) -> None:
    config = (bundle / "mergekit.yaml").read_text()
    (bundle / "mergekit.yaml").write_text(config.replace("./inputs/safe", "/etc/models/other"))
    with pytest.raises(MergescopeError, match="names a model that the manifest does not"):
        verify(bundle, demo_world.models.base.parent)
    (bundle / "mergekit.yaml").rename(bundle / "moved.yaml")
    (bundle / "mergekit.yaml").symlink_to(bundle / "moved.yaml")
    with pytest.raises(MergescopeError, match="symbolic link"):
        verify(bundle, demo_world.models.base.parent)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "1; rm"},
        {"kernel_level": "avx9000"},
        {"inputs": {"../evil": {}}},
        {"format": 2},
    ],
)
def test_odd_manifests_are_refused(bundle: Path, demo_world: World, change: dict[str, Any]) -> None:
    change_manifest(bundle, lambda m: m.update(change))
    with pytest.raises(MergescopeError):
        verify(bundle, demo_world.models.base.parent)
