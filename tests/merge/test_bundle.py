"""Bundles: complete, silent about this machine, and rebuilt by stock mergekit in every bit."""

from __future__ import annotations

import getpass
import io
import json
import shutil
import socket
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from merge.blend import Blender
from merge.bundle import BundleInputs, bundle_zip, exported_config, write_bundle
from merge.masks import masks_for
from merge.materialize import _write_shards, materialize
from merge.sources import MappedCheckpoint, Models, stored_tensors
from merge.tensor_bytes import tensor_sha256
from merge.verify import verify
from mergescope.ground.errors import MergescopeError
from tests.merge.conftest import DEMO_POINT, World
from tests.merge.test_blend import assert_same_bits

EVIDENCE = {"rule": "safety_low >= 4.5", "points": [{"ratio": "0.3", "safety": 4.6}]}


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    return worlds("demo", tied=True)


@pytest.fixture
def inputs(shared_masks: Path, world: World) -> BundleInputs:
    return BundleInputs(world.models, masks_for(shared_masks, DEMO_POINT, world.models, threads=1))


@pytest.fixture
def bundle(tmp_path: Path, inputs: BundleInputs) -> Path:
    write_bundle(tmp_path / "bundle", DEMO_POINT, inputs, EVIDENCE)
    return tmp_path / "bundle"


def change_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def test_holds_what_rebuilds_it(bundle: Path) -> None:
    assert {file.name for file in bundle.iterdir()} == {"mergekit.yaml", "reproduce.sh", "manifest.json", "README.md"}
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["seed"] == DEMO_POINT.mask_seed
    assert manifest["threads"] == 1
    assert manifest["evidence"] == EVIDENCE
    assert {"mergekit", "torch", "transformers"} <= set(manifest["versions"])
    script = (bundle / "reproduce.sh").read_text()
    assert "--random-seed 11 --num-threads 1" in script
    assert f"ATEN_CPU_CAPABILITY={manifest['kernel_level']}" in script


def test_names_no_path_user_or_host(bundle: Path, inputs: BundleInputs) -> None:
    text = "".join(file.read_text() for file in bundle.iterdir())
    for secret in (str(inputs.models.base.parent), str(inputs.masks), socket.gethostname(), f"/{getpass.getuser()}/"):
        assert secret not in text


def test_hub_ids_stand_in_the_config(inputs: BundleInputs) -> None:
    named = replace(inputs, names={"base": "owner/base@abc"})
    config = yaml.safe_load(exported_config(DEMO_POINT, named, "float32"))
    assert config["base_model"] == "owner/base@abc"
    assert config["models"][0]["model"] == "./inputs/safe"


def test_a_template_that_the_base_lacks_stands_in_the_config(inputs: BundleInputs, tmp_path: Path) -> None:
    shutil.copytree(inputs.models.safe, tmp_path / "safe")
    (tmp_path / "safe" / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    models = Models(inputs.models.base, tmp_path / "safe", inputs.models.useful)
    config = yaml.safe_load(exported_config(DEMO_POINT, replace(inputs, models=models), "float32"))
    assert config["chat_template"].startswith("{% for m in messages %}")


def test_zip_is_the_folder_and_always_the_same(bundle: Path, inputs: BundleInputs) -> None:
    data = bundle_zip(DEMO_POINT, inputs, EVIDENCE)
    assert data == bundle_zip(DEMO_POINT, inputs, EVIDENCE)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {
            file.name: file.read_text() for file in bundle.iterdir()
        }


def test_verify_agrees(bundle: Path, world: World) -> None:
    report = verify(bundle, world.models.base.parent)
    assert report.ok
    assert report.compared == len(stored_tensors(world.models.base))
    assert report.causes == ()


@pytest.mark.deep
def test_verify_names_the_tensor_and_the_seed(bundle: Path, world: World) -> None:
    change_manifest(bundle, lambda m: m.update(seed=12, point={**m["point"], "mask_seed": 12}))
    report = verify(bundle, world.models.base.parent)
    assert "model.layers.0.mlp.up_proj.weight" in report.differing
    assert report.causes[0].startswith("other masks")


@pytest.mark.deep
def test_verify_notices_an_edited_ratio(bundle: Path, world: World) -> None:
    config = yaml.safe_load((bundle / "mergekit.yaml").read_text())
    config["models"][0]["parameters"]["weight"] = 0.31
    (bundle / "mergekit.yaml").write_text(yaml.safe_dump(config))
    report = verify(bundle, world.models.base.parent)
    assert not report.ok
    assert report.causes[0].startswith("same masks and scales")


@pytest.mark.deep
def test_verify_tells_a_scale_from_a_mask(bundle: Path, world: World) -> None:
    def nudge(manifest: dict[str, Any]) -> None:
        name = "model.layers.0.mlp.up_proj.weight"
        manifest["tensors"][name]["sha256"] = "0" * 64
        manifest["masks"]["scales"][name]["safe"] *= 1 + 1.2e-7

    change_manifest(bundle, nudge)
    report = verify(bundle, world.models.base.parent)
    assert report.differing == ("model.layers.0.mlp.up_proj.weight",)
    assert report.causes[0] == "same masks, scale differs by up to 1 ulp: other CPU or number of threads"


@pytest.mark.deep
def test_the_script_rebuilds_the_checkpoint(bundle: Path, world: World, inputs: BundleInputs) -> None:
    (bundle / "inputs").symlink_to(world.models.base.parent)
    environment = {"PATH": f"{Path(shutil.which('mergekit-yaml') or '').parent}:/usr/bin:/bin", "HOME": str(bundle)}
    subprocess.run(["sh", str(bundle / "reproduce.sh")], check=True, env=environment, capture_output=True)
    blender = Blender(world.models.base, world.models.safe, world.models.useful, inputs.masks)
    assert_same_bits(dict(blender.blend(DEMO_POINT)), bundle / "merged")


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("", "random_seed: 3"),
        ("models.0", "revision: x"),
        ("models.0.parameters", "epsilon: 1"),
        ("parameters", "t: 1"),
    ],
)
def test_unknown_keys_are_refused(bundle: Path, world: World, place: str, line: str) -> None:
    config = yaml.safe_load((bundle / "mergekit.yaml").read_text())
    target = config
    for step in filter(None, place.split(".")):
        target = target[int(step) if step.isdigit() else step]
    target.update(yaml.safe_load(line))
    (bundle / "mergekit.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(MergescopeError, match=f"unknown key .*{line.split(':')[0]}"):
        verify(bundle, world.models.base.parent)


def test_symbolic_links_and_foreign_models_are_refused(bundle: Path, world: World) -> None:
    config = (bundle / "mergekit.yaml").read_text()
    (bundle / "mergekit.yaml").write_text(config.replace("./inputs/safe", "/etc/models/other"))
    with pytest.raises(MergescopeError, match="names a model that the manifest does not"):
        verify(bundle, world.models.base.parent)
    (bundle / "mergekit.yaml").rename(bundle / "moved.yaml")
    (bundle / "mergekit.yaml").symlink_to(bundle / "moved.yaml")
    with pytest.raises(MergescopeError, match="symbolic link"):
        verify(bundle, world.models.base.parent)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": "1; rm"},
        {"kernel_level": "avx9000"},
        {"inputs": {"../evil": {}}},
        {"format": 2},
    ],
)
def test_odd_manifests_are_refused(bundle: Path, world: World, change: dict[str, Any]) -> None:
    change_manifest(bundle, lambda m: m.update(change))
    with pytest.raises(MergescopeError):
        verify(bundle, world.models.base.parent)


def test_materialized_checkpoint_loads_and_has_the_manifest_s_bytes(
    bundle: Path, world: World, inputs: BundleInputs, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    models = replace(world.models, safe=tmp_path / "safe")
    shutil.copytree(world.models.safe, models.safe)
    (models.safe / "chat_template.jinja").write_text("{{ messages }}")
    materialize(DEMO_POINT, Blender(models.base, models.safe, models.useful, inputs.masks), models, tmp_path / "out")
    wanted = json.loads((bundle / "manifest.json").read_text())["tensors"]
    assert {n: tensor_sha256(t) for n, t in load_file(tmp_path / "out" / "model.safetensors").items()} == {
        name: entry["sha256"] for name, entry in wanted.items()
    }
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "{{ messages }}"
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert str(model.dtype) == "torch.float32"


def test_shards_hold_the_same_tensors(world: World, inputs: BundleInputs, tmp_path: Path) -> None:
    models = world.models
    tensors = dict(Blender(models.base, models.safe, models.useful, inputs.masks).blend(DEMO_POINT))
    _write_shards(tensors.items(), tmp_path, limit=200_000)
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    written = MappedCheckpoint(tmp_path)
    for name, tensor in tensors.items():
        assert written.tensor(name).equal(tensor)


def test_a_full_disk_leaves_nothing(
    world: World, inputs: BundleInputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = world.models
    blender = Blender(models.base, models.safe, models.useful, inputs.masks)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(MergescopeError, match="are free"):
        materialize(DEMO_POINT, blender, models, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_point_of_other_masks_makes_no_bundle(inputs: BundleInputs, tmp_path: Path) -> None:
    with pytest.raises(MergescopeError):
        write_bundle(tmp_path / "b", replace(DEMO_POINT, density_safe=Decimal("0.9")), inputs, {})
    assert not (tmp_path / "b").exists()
