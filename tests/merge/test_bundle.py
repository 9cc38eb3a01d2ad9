"""Bundles: complete, silent about this machine, and rebuilt by their own script."""

from __future__ import annotations

import getpass
import io
import json
import shutil
import socket
import subprocess
import sys
import zipfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from merge.bundle import BundleInputs, bundle_zip, exported_config, write_bundle
from merge.sources import Models
from mergescope.ground.errors import MergescopeError
from tests.merge.conftest import DEMO_POINT, EVIDENCE, World
from tests.merge.test_blend import assert_same_bits


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
    for secret in (str(inputs.models.base.parent), socket.gethostname(), f"/{getpass.getuser()}/"):
        assert secret not in text


def test_hub_ids_stand_in_the_config(inputs: BundleInputs) -> None:
    named = replace(inputs, names={"base": "owner/base@abc"})
    config = yaml.safe_load(exported_config(DEMO_POINT, named))
    assert config["base_model"] == "owner/base@abc"
    assert config["models"][0]["model"] == "./inputs/safe"


def test_a_template_that_the_base_lacks_stands_in_the_config(inputs: BundleInputs, tmp_path: Path) -> None:
    shutil.copytree(inputs.models.safe, tmp_path / "safe")
    (tmp_path / "safe" / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    models = Models(inputs.models.base, tmp_path / "safe", inputs.models.useful)
    config = yaml.safe_load(exported_config(DEMO_POINT, replace(inputs, models=models)))
    assert config["chat_template"].startswith("{% for m in messages %}")


def test_zip_is_the_folder_and_always_the_same(bundle: Path, inputs: BundleInputs) -> None:
    data = bundle_zip(DEMO_POINT, inputs, EVIDENCE)
    assert data == bundle_zip(DEMO_POINT, inputs, EVIDENCE)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == {
            file.name: file.read_text() for file in bundle.iterdir()
        }


@pytest.mark.deep
def test_the_script_rebuilds_the_checkpoint(bundle: Path, demo_world: World, inputs: BundleInputs) -> None:
    (bundle / "inputs").symlink_to(demo_world.models.base.parent)
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(bundle)}
    subprocess.run(["sh", str(bundle / "reproduce.sh")], check=True, env=environment, capture_output=True)
    assert_same_bits(dict(inputs.merger.blend(DEMO_POINT)), bundle / "merged")


def test_a_point_of_other_masks_makes_no_bundle(inputs: BundleInputs, tmp_path: Path) -> None:
    with pytest.raises(MergescopeError):
        write_bundle(tmp_path / "b", replace(DEMO_POINT, density_safe=Decimal("0.9")), inputs, {})
    assert not (tmp_path / "b").exists()
