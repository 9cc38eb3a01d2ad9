"""Writing a merge to disk: the manifest's very bytes, whole or not at all."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

from safetensors.torch import load_file

from merge.bundle import BundleInputs
from merge.materialize import materialize, write_shards
from merge.sources import MappedCheckpoint
from merge.tensor_bytes import tensor_sha256
from mergescope.ground.progress import Reporter
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


def test_every_tokenizer_s_files_are_copied(inputs: BundleInputs, tmp_path: Path) -> None:
    models = replace(inputs.models, safe=tmp_path / "safe")
    shutil.copytree(inputs.models.safe, models.safe)
    for name in ("vocab.txt", "vocab.json", "tokenizer.model", "added_tokens.json", "special_tokens_map.json"):
        (models.safe / name).write_text("{}")
    materialize(DEMO_POINT, inputs.merger, models, tmp_path / "out")
    assert checkpoint_text(tmp_path / "out") == checkpoint_text(models.safe)


def checkpoint_text(folder: Path) -> dict[str, str]:
    """A checkpoint's files besides weights and model configuration."""
    apart = ("config.json", "generation_config.json")
    files = (file for file in folder.iterdir() if file.suffix != ".safetensors" and file.name not in apart)
    return {file.name: file.read_text() for file in files}


def test_progress_counts_megabytes_and_ends_at_its_total(inputs: BundleInputs, tmp_path: Path) -> None:
    screen = StringIO()
    materialize(DEMO_POINT, inputs.merger, inputs.models, tmp_path / "out", Reporter(screen))
    total = round(inputs.merger.output_bytes / 1e6)
    assert total > 0
    assert f"merge: done, {total}/{total} MB in" in screen.getvalue()
