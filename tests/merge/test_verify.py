"""Verification: every bit compared, likely causes named, nothing of the bundle believed unchecked."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from merge.bundle import BundleInputs, write_bundle
from merge.identity import merge_id
from merge.masks import make_masks
from merge.merger import open_merger
from merge.points import MergePoint
from merge.sources import stored_tensors
from merge.stock import stock_merge
from merge.verify import verify
from mergescope.ground.errors import MergescopeError
from mergescope.ground.ids import full_hash
from mergescope.ground.progress import Reporter
from tests.merge.conftest import DEMO_POINT, World, a_point, a_story


def change_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change it as one would who knows how its ids are made."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    point = TypeAdapter(MergePoint).validate_python(manifest["point"])
    made = {"mergekit": manifest["versions"]["mergekit"], "torch": manifest["versions"]["torch"]}
    ids = {role: entry["checkpoint_id"] for role, entry in manifest["inputs"].items()}
    how = {"threads": manifest["threads"], "level": manifest["kernel_level"], "out_dtype": manifest["out_dtype"]}
    manifest |= {"point_id": point.point_id, "merge_id": merge_id(point, ids, **how, versions=made)}
    for entry in manifest["inputs"].values():
        entry["weights_sha256"] = full_hash([digest for _, digest in sorted(entry["files"].items())])
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
    assert any(cause.startswith("no masks are kept of this merge") for cause in report.causes)


def test_symbolic_links_are_refused(bundle: Path, demo_world: World) -> None:
    (bundle / "mergekit.yaml").rename(bundle / "moved.yaml")
    (bundle / "mergekit.yaml").symlink_to(bundle / "moved.yaml")
    with pytest.raises(MergescopeError, match="symbolic link"):
        verify(bundle, demo_world.models.base.parent)


@pytest.mark.deep
def test_a_merge_that_mergekit_refuses_is_one_line(demo_world: World, tmp_path: Path) -> None:
    point = a_point("0.3", method="della", safe="0.5", useful="0.5")
    merger = open_merger(tmp_path, point, demo_world.models, threads=1)
    write_bundle(tmp_path / "bundle", point, BundleInputs(demo_world.models, merger), a_story())
    config = (tmp_path / "bundle" / "mergekit.yaml").read_text()
    (tmp_path / "bundle" / "mergekit.yaml").write_text(config.replace("density: 0.5", "density: 0.1"))
    impossible = {"density_safe": "0.1", "density_useful": "0.1"}
    change_manifest(tmp_path / "bundle", lambda m: m.update(point={**m["point"], **impossible}))
    with pytest.raises(MergescopeError, match=r"mergekit does not run it: .*psilon"):
        verify(tmp_path / "bundle", demo_world.models.base.parent)


@pytest.mark.deep
def test_no_level_is_drawn_or_merged_at_that_this_cpu_lacks(
    bundle: Path, demo_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def noted(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, level: str, **others: Any) -> Any:
            used.append(level)
            return real(*arguments, level=level, **others)

        return run

    monkeypatch.setattr("merge.redraw.make_masks", noted(make_masks))
    monkeypatch.setattr("merge.verify.stock_merge", noted(stock_merge))
    monkeypatch.setattr("merge.verify.kernel_level", lambda: "default")
    change_manifest(bundle, lambda m: m.update(kernel_level="avx512"))
    report = verify(bundle, demo_world.models.base.parent)
    assert used[0] == "default"
    assert set(used) == {"default"}
    assert report.causes[-1] == "this CPU runs at kernel level default, the merge was made at avx512"


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
    with pytest.raises(MergescopeError, match=r"are not there: base, safe, useful; .* --inputs"):
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


@pytest.mark.deep
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


def test_changed_inputs_are_named_and_nothing_else_is_read(
    whole: Path, demo_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> tuple[str, ...]:
        raise AssertionError("tensors were read or merged")

    monkeypatch.setattr("merge.verify._merged_differing", never)
    monkeypatch.setattr("merge.verify._differing", never)
    change_manifest(whole, lambda m: m["inputs"]["safe"]["files"].update({"model.safetensors": "0" * 64}))
    report = verify(whole, demo_world.models.base.parent)
    assert report.changed == ("inputs/safe/model.safetensors",)
    assert report.causes == ("inputs/safe/model.safetensors is not the file that the merge was made from",)
    assert not report.ok


@pytest.mark.deep
def test_progress_is_said_while_mergekit_merges(bundle: Path, demo_world: World) -> None:
    said = io.StringIO()
    verify(bundle, demo_world.models.base.parent, Reporter(said))
    assert "stock mergekit: done, 100/100 %" in said.getvalue()
