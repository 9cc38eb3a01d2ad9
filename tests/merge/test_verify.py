"""Verification: every bit compared, likely causes named, nothing of the bundle believed unchecked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
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
from tests.merge.conftest import DEMO_POINT, World, a_point, a_story


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
    other = replace(DEMO_POINT, mask_seed=12)
    change_manifest(bundle, lambda m: m.update(seed=12, point={**m["point"], "mask_seed": 12}, point_id=other.point_id))
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
    assert report.edited == ("mergekit.yaml",)
    assert report.causes[0] == "mergekit.yaml is not as it was exported"
    assert report.causes[1].startswith("same masks and scales")


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
    assert report.other_scales
    assert report.causes[0] == "same masks, scale differs by up to 1 ulp: other CPU or number of threads"


@pytest.mark.deep
def test_a_bundle_of_what_mergekit_itself_merged(demo_world: World, tmp_path: Path) -> None:
    point = a_point("0.3", method="della", gradient=(Decimal("0.5"), Decimal(1)), int8_mask=True)
    merger = open_merger(tmp_path, point, demo_world.models, threads=1)
    write_bundle(tmp_path / "bundle", point, BundleInputs(demo_world.models, merger), a_story())
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["masks"] is None
    assert verify(tmp_path / "bundle", demo_world.models.base.parent).ok
    name = "model.layers.0.mlp.up_proj.weight"
    change_manifest(tmp_path / "bundle", lambda manifest: manifest["tensors"][name].update(sha256="0" * 64))
    report = verify(tmp_path / "bundle", demo_world.models.base.parent)
    assert report.differing == (name,)
    assert any(cause.startswith("mergekit itself made this merge") for cause in report.causes)


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


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.update(models=["./inputs/safe"]),
        lambda c: c.update(models={"model": 1}),
        lambda c: c["models"][0].update(model=["x"]),
        lambda c: c["models"][0].update(parameters=[]),
        lambda c: c.update(parameters="x"),
        lambda c: c.update(base_model={}),
        lambda c: c.pop("base_model"),
    ],
)
def test_odd_configs_are_refused(bundle: Path, demo_world: World, change: Callable[[dict[str, Any]], object]) -> None:
    config = yaml.safe_load((bundle / "mergekit.yaml").read_text())
    change(config)
    (bundle / "mergekit.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(MergescopeError):
        verify(bundle, demo_world.models.base.parent)


def test_a_config_that_mergekit_refuses_is_one_line(bundle: Path, demo_world: World) -> None:
    config = yaml.safe_load((bundle / "mergekit.yaml").read_text())
    config["out_dtype"] = "float99"
    (bundle / "mergekit.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(MergescopeError, match=r"mergekit does not run this config: .*float99"):
        verify(bundle, demo_world.models.base.parent)


@pytest.fixture
def whole(tmp_path: Path, inputs: BundleInputs) -> Path:
    """A bundle with its checkpoint."""
    write_bundle(tmp_path / "whole", DEMO_POINT, inputs, a_story(), write_weights=True)
    return tmp_path / "whole"


def spoil(file: Path) -> None:
    """Turn one bit of the last weight."""
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)


def same(*_: Any, **__: Any) -> tuple[str, ...]:
    """Stands in for the merge by mergekit where a test is about everything else."""
    return ()


def test_a_damaged_checkpoint_is_named_by_its_tensor(
    whole: Path, demo_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merge.verify._merged_differing", same)
    assert verify(whole, demo_world.models.base.parent).ok
    spoil(whole / "checkpoint" / "model.safetensors")
    report = verify(whole, demo_world.models.base.parent)
    assert len(report.damaged) == 1
    assert report.differing == ()
    assert not report.ok
    (whole / "checkpoint" / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{broken json!!!")
    with pytest.raises(MergescopeError, match="no whole safetensors file"):
        verify(whole, demo_world.models.base.parent)


def test_inputs_lie_in_the_bundle_unless_said_otherwise(
    bundle: Path, demo_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merge.verify._merged_differing", same)
    with pytest.raises(MergescopeError, match=r"the model base is not there; .* --inputs"):
        verify(bundle)
    (bundle / "inputs").symlink_to(demo_world.models.base.parent)
    assert verify(bundle).ok


def test_a_model_of_the_hub_is_taken_from_its_local_snapshot(
    tmp_path: Path, inputs: BundleInputs, demo_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("merge.verify._merged_differing", same)
    names = {role: f"owner/{role}@{'1' * 40}" for role in ("base", "safe", "useful")}
    write_bundle(tmp_path / "b", DEMO_POINT, replace(inputs, names=names), a_story())
    with pytest.raises(MergescopeError, match="neither a folder nor a Hub model"):
        verify(tmp_path / "b")
    for role in ("base", "safe", "useful"):
        snapshots = tmp_path / "hub" / f"models--owner--{role}" / "snapshots"
        snapshots.mkdir(parents=True)
        (snapshots / ("1" * 40)).symlink_to(demo_world.models.folder(role))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert verify(tmp_path / "b").ok


@pytest.mark.deep
def test_a_zip_verifies_as_its_folder_does(whole: Path, demo_world: World, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "b"), "zip", whole)
    report = verify(Path(archive), demo_world.models.base.parent)
    assert report.ok
    assert report.checkpoint


def test_other_versions_and_other_scales_need_no_merge(
    bundle: Path, demo_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> tuple[str, ...]:
        raise AssertionError("a merge was made")

    def elsewhere(manifest: dict[str, Any]) -> None:
        manifest["versions"]["torch"] = "2.0.0"
        scales = manifest["masks"]["scales"]["model.layers.0.mlp.up_proj.weight"]
        scales["safe"] = float(np.nextafter(np.float32(scales["safe"]), np.float32(9)))

    monkeypatch.setattr("merge.verify._merged_differing", never)
    change_manifest(bundle, elsewhere)
    report = verify(bundle, demo_world.models.base.parent)
    assert report.other_scales
    assert report.differing == ("model.layers.0.mlp.up_proj.weight",)
    assert [cause.partition(" ")[0] for cause in report.causes] == ["same", "torch"]


def test_changed_inputs_are_named(bundle: Path, demo_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("merge.verify._merged_differing", lambda *_: ("a",))
    change_manifest(bundle, lambda m: m["inputs"]["safe"].update(weights_sha256="0" * 64))
    report = verify(bundle, demo_world.models.base.parent)
    assert report.causes == ("inputs/safe holds other weights than the merge was made from",)
    assert not report.ok
