"""Writing a merge to disk: the manifest's very bytes, whole or not at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

from safetensors.torch import load_file

from merge.bundle import BundleInputs
from merge.materialize import materialize, write_shards
from merge.sources import MappedCheckpoint
from merge.tensor_bytes import tensor_sha256
from tests.merge.conftest import DEMO_POINT, World


def test_materialized_checkpoint_loads_and_has_the_manifest_s_bytes(
    bundle: Path, demo_world: World, inputs: BundleInputs, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    models = replace(demo_world.models, safe=tmp_path / "safe")
    shutil.copytree(demo_world.models.safe, models.safe)
    (models.safe / "chat_template.jinja").write_text("{{ messages }}")
    materialize(DEMO_POINT, inputs.merger, models, tmp_path / "out")
    wanted = json.loads((bundle / "manifest.json").read_text())["tensors"]
    assert {n: tensor_sha256(t) for n, t in load_file(tmp_path / "out" / "model.safetensors").items()} == {
        name: entry["sha256"] for name, entry in wanted.items()
    }
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == "{{ messages }}"
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert str(model.dtype) == "torch.float32"


def test_shards_hold_the_same_tensors(inputs: BundleInputs, tmp_path: Path) -> None:
    tensors = dict(inputs.merger.blend(DEMO_POINT))
    write_shards(tensors.items(), tmp_path, limit=200_000)
    assert len(list(tmp_path.glob("model-*-of-*.safetensors"))) > 2
    written = MappedCheckpoint(tmp_path)
    for name, tensor in tensors.items():
        assert written.tensor(name).equal(tensor)
