"""Bundles: complete, silent about this machine, whole or absent, and rebuilt by their own script."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from merge.adapters import AdapterInput
from merge.bundle import EVIDENCE, BundleInputs, exported_config, write_bundle
from merge.bundle_reader import read_bundle
from merge.gates import LESS_SAFE, VENDOR_TERMS, Gate
from merge.sources import Models
from merge.tensor_bytes import stored_entries
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.ids import file_hash, text_hash
from tests.merge.conftest import DEMO_POINT, World, a_story
from tests.merge.test_blend import assert_same_bits

FILES = {"mergekit.yaml", "reproduce.sh", "manifest.json", "scores.json", "README.md", "Dockerfile"}


def texts_of(folder: Path) -> str:
    """All text of a bundle, weights apart."""
    return "".join(file.read_text() for file in files_of(folder) if file.suffix != ".safetensors")


def files_of(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.rglob("*")) if file.is_file())


@pytest.fixture
def whole(tmp_path: Path, inputs: BundleInputs) -> Path:
    """A bundle with its checkpoint."""
    write_bundle(tmp_path / "whole", DEMO_POINT, inputs, a_story(), write_weights=True)
    return tmp_path / "whole"


def test_holds_what_rebuilds_it(bundle: Path) -> None:
    assert {file.name for file in bundle.iterdir()} == FILES
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["seed"] == DEMO_POINT.mask_seed
    assert manifest["threads"] == 1
    assert {"mergekit", "torch", "transformers", "python"} <= set(manifest["versions"])
    assert manifest["files"] == {name: file_hash(bundle / name) for name in FILES - {"manifest.json"}}
    script = (bundle / "reproduce.sh").read_text()
    assert "--random-seed 11 --num-threads 1 --device cpu" in script
    assert f"ATEN_CPU_CAPABILITY={manifest['kernel_level']}" in script
    assert f"mergekit=={manifest['versions']['mergekit']}" in script


def test_holds_what_the_caller_tells(bundle: Path) -> None:
    manifest, story = json.loads((bundle / "manifest.json").read_text()), a_story()
    assert manifest["choice"] == story.choice
    assert manifest["provenance"] == story.provenance
    assert json.loads((bundle / "scores.json").read_text()) == story.scores
    assert manifest["evaluated"]


def test_the_checkpoint_comes_with_the_bundle_and_has_its_tensors(whole: Path, bundle: Path) -> None:
    manifest = json.loads((whole / "manifest.json").read_text())
    assert dict(stored_entries(whole / "checkpoint")) == manifest["tensors"]
    assert manifest["tensors"] == json.loads((bundle / "manifest.json").read_text())["tensors"]
    assert "beside this folder" in (whole / "checkpoint" / "README.md").read_text()
    assert "beside this folder" not in (whole / "README.md").read_text()
    assert "mv merged checkpoint" in (bundle / "Dockerfile").read_text()
    assert "mv merged checkpoint" not in (whole / "Dockerfile").read_text()
    assert "checkpoint/config.json" in manifest["files"]
    assert not any(name.endswith(".safetensors") for name in manifest["files"])


def test_bytes_that_the_disk_gives_back_otherwise_leave_no_bundle(
    tmp_path: Path, inputs: BundleInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiled(folder: Path) -> Iterator[tuple[str, dict[str, object]]]:
        for name, entry in stored_entries(folder):
            yield name, entry | ({"sha256": "0" * 64} if "norm" in name else {})

    monkeypatch.setattr("merge.materialize.stored_entries", spoiled)
    with pytest.raises(CheckpointError, match="was not read back as it was written"):
        write_bundle(tmp_path / "b", DEMO_POINT, inputs, a_story(), write_weights=True)
    assert not list(tmp_path.iterdir())


def test_a_failure_after_the_weights_leaves_nothing(
    tmp_path: Path, inputs: BundleInputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> str:
        raise OSError("no space left on device")

    monkeypatch.setattr("merge.bundle.model_card", broken)
    with pytest.raises(OSError, match="no space"):
        write_bundle(tmp_path / "b", DEMO_POINT, inputs, a_story(), write_weights=True)
    assert not list(tmp_path.iterdir())


def test_names_no_path_user_or_host(tmp_path: Path, inputs: BundleInputs) -> None:
    canary = "/home/canary-user/secret place/data.jsonl"
    models = Models(*(tmp_path / "canary-folder" / role for role in ("base", "safe", "useful")))
    for role in ("base", "safe", "useful"):
        shutil.copytree(inputs.models.folder(role), models.folder(role))
        config = json.loads((models.folder(role) / "config.json").read_text())
        (models.folder(role) / "config.json").write_text(json.dumps({**config, "_name_or_path": canary}))
        tokens = {"name_or_path": canary, "tokenizer_file": canary, "model_max_length": 9}
        (models.folder(role) / "tokenizer_config.json").write_text(json.dumps(tokens))
    judges = [{"name": canary, "kind": "llm", "label": f"{canary} (llm)", "trust": "trusted", "checkpoints": []}]
    choice = {"rule": f"see {canary}", "by": None, "when": "now", "note": "as in C:\\Users\\canary-user\\x.txt"}
    story = a_story(choice=choice, scores={**a_story().scores, "judges": judges}, not_compared=[canary])
    write_bundle(tmp_path / "b", DEMO_POINT, replace(inputs, models=models), story, write_weights=True)
    text = texts_of(tmp_path / "b")
    secrets = (str(tmp_path), "canary-user", "canary-folder", "secret place", socket.gethostname())
    for secret in (*secrets, f"/{getpass.getuser()}/", os.sep + "work" + os.sep):
        assert secret not in text
    assert "data.jsonl" in text  # the file's own name may stay
    assert "model_max_length" in (tmp_path / "b" / "checkpoint" / "tokenizer_config.json").read_text()


def test_equal_inputs_give_equal_bytes(tmp_path: Path, inputs: BundleInputs) -> None:
    for name in ("one", "two"):
        write_bundle(tmp_path / name, DEMO_POINT, inputs, a_story(), write_weights=True)
    first, second = (
        {file.relative_to(tmp_path / name): file.read_bytes() for file in files_of(tmp_path / name)}
        for name in ("one", "two")
    )
    assert first == second
    assert len(first) > len(FILES)


def test_hub_ids_stand_in_the_config(inputs: BundleInputs) -> None:
    named = replace(inputs, names={"base": "owner/base@abc"})
    config = yaml.safe_load(exported_config(DEMO_POINT, named))
    assert config["base_model"] == "owner/base@abc"
    assert config["models"][0]["model"] == "./inputs/safe"


def test_an_adapter_stands_in_the_manifest_and_in_the_script(tmp_path: Path, inputs: BundleInputs) -> None:
    files = {"adapter_config.json": "1" * 64, "adapter_model.safetensors": "2" * 64}
    made = AdapterInput("./inputs/base", "./inputs/safe-adapter", "0" * 64, files, "float32", {"peft": "1"}, "3" * 64)
    manifest = write_bundle(tmp_path / "b", DEMO_POINT, replace(inputs, adapters={"safe": made}), a_story())
    assert manifest["inputs"]["useful"]["adapter"] is None
    read = read_bundle(tmp_path / "b").manifest.inputs["safe"]
    assert read.adapter is not None
    again = AdapterInput(**read.adapter.model_dump(), weights_sha256="3" * 64)
    assert again == made
    assert "mergescope adapt ./inputs/base ./inputs/safe-adapter" in (tmp_path / "b" / "reproduce.sh").read_text()


def test_two_revisions_of_one_name_stand_in_the_config(inputs: BundleInputs) -> None:
    named = replace(inputs, names={"safe": "owner/m@1", "useful": "owner/m@2"})
    config = yaml.safe_load(exported_config(DEMO_POINT, named))
    assert [entry["model"] for entry in config["models"]] == ["owner/m@1", "owner/m@2"]


def test_one_hub_id_of_two_roles_is_fetched_twice(tmp_path: Path, inputs: BundleInputs) -> None:
    named = replace(inputs, names={"base": "owner/m@1", "useful": "owner/m@1", "safe": "owner/s@1"})
    config = yaml.safe_load(exported_config(DEMO_POINT, named))
    assert config["base_model"] == "./inputs/base"
    assert [entry["model"] for entry in config["models"]] == ["owner/s@1", "./inputs/useful"]
    manifest = write_bundle(tmp_path / "b", DEMO_POINT, named, a_story())
    assert manifest["inputs"]["useful"]["hub"] == "owner/m@1"
    script = (tmp_path / "b" / "reproduce.sh").read_text()
    for role in ("base", "useful"):
        assert f"hf download owner/m --revision 1 --local-dir inputs/{role}" in script
    assert "inputs/safe" not in script


def test_a_template_that_the_base_lacks_stands_in_the_config(inputs: BundleInputs, tmp_path: Path) -> None:
    shutil.copytree(inputs.models.safe, tmp_path / "safe")
    (tmp_path / "safe" / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    models = Models(inputs.models.base, tmp_path / "safe", inputs.models.useful)
    config = yaml.safe_load(exported_config(DEMO_POINT, replace(inputs, models=models)))
    assert config["chat_template"].startswith("{% for m in messages %}")


def test_a_template_of_the_hub_stands_in_the_config_since_mergekit_leaves_it_there(
    inputs: BundleInputs, tmp_path: Path
) -> None:
    models = Models(*(tmp_path / role for role in ("base", "safe", "useful")))
    for role in ("base", "safe", "useful"):
        shutil.copytree(inputs.models.folder(role), models.folder(role))
        (models.folder(role) / "chat_template.jinja").write_text("{{ messages }}, all the same")
    here = replace(inputs, models=models)
    assert "chat_template" not in yaml.safe_load(exported_config(DEMO_POINT, here))
    there = replace(here, names={"base": "owner/base@abc"})
    assert yaml.safe_load(exported_config(DEMO_POINT, there))["chat_template"] == "{{ messages }}, all the same"


@pytest.mark.parametrize("acknowledged", [False, True])
def test_gates_mark_the_manifest_and_the_card(tmp_path: Path, inputs: BundleInputs, acknowledged: bool) -> None:
    gates = [Gate(VENDOR_TERMS, "made with gpt-4o", acknowledged), Gate(LESS_SAFE, "less safe", True)]
    manifest = write_bundle(tmp_path / "b", DEMO_POINT, inputs, a_story(*gates))
    assert (manifest["release"] == "not for release") is not acknowledged
    card = (tmp_path / "b" / "README.md").read_text()
    assert ("- not-for-release" in card) is not acknowledged
    assert ("NOT FOR RELEASE" in card) is not acknowledged
    assert "less-safe-than-base (acknowledged): less safe" in card


@pytest.mark.deep
def test_the_script_rebuilds_the_checkpoint(bundle: Path, demo_world: World, inputs: BundleInputs) -> None:
    (bundle / "inputs").symlink_to(demo_world.models.base.parent)
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(bundle)}
    subprocess.run(["sh", str(bundle / "reproduce.sh")], check=True, env=environment, capture_output=True)
    assert_same_bits(dict(inputs.merger.blend(DEMO_POINT)), bundle / "merged")


def test_a_point_of_other_masks_makes_no_bundle(inputs: BundleInputs, tmp_path: Path) -> None:
    with pytest.raises(MergescopeError):
        write_bundle(tmp_path / "b", replace(DEMO_POINT, density_safe=Decimal("0.9")), inputs, a_story())
    assert not (tmp_path / "b").exists()


def test_what_the_choice_rests_on_is_kept_byte_for_byte(inputs: BundleInputs, tmp_path: Path) -> None:
    evidence = '{"format":1,"read":[]}'
    manifest = write_bundle(tmp_path / "b", DEMO_POINT, inputs, a_story(evidence=evidence))
    assert (tmp_path / "b" / EVIDENCE).read_text(encoding="utf-8") == evidence
    assert manifest["files"][EVIDENCE] == text_hash(evidence)
    assert read_bundle(tmp_path / "b").edited_files() == []
    (tmp_path / "b" / EVIDENCE).write_text("{}", encoding="utf-8")
    assert read_bundle(tmp_path / "b").edited_files() == [EVIDENCE]
