"""The export of a choice: a folder from which anyone rebuilds the checkpoint with stock mergekit, bit for bit."""

from __future__ import annotations

import importlib.metadata
import io
import json
import platform
import textwrap
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merge.identity import chat_template, input_ids, merge_id
from merge.mergekit_yaml import CONFIG, INPUTS, OUTPUT, command, mergekit_config, to_yaml
from merge.points import MergePoint, Role
from merge.sources import Models
from mergescope.ground.files import MANIFEST, fresh_folder
from mergescope.ground.ids import canonical_json, full_hash

if TYPE_CHECKING:
    from merge.merger import Merger

FORMAT = 1
"""Version of the bundle's layout."""
SCRIPT = "reproduce.sh"
README = "README.md"
PACKAGES = ("mergekit", "torch", "transformers", "safetensors", "numpy", "mergescope")
"""What the manifest names with its version."""


@dataclass(frozen=True, slots=True)
class BundleInputs:
    """What a bundle is made from."""

    models: Models
    merger: Merger
    """From `merge.merger.open_merger` for the point."""
    names: Mapping[Role, str] = field(default_factory=dict)
    """Hub ids (`owner/name@commit`) of the models that have one; the others are called inputs/<role>."""


def bundle_files(point: MergePoint, inputs: BundleInputs, evidence: dict[str, Any]) -> dict[str, str]:
    """The bundle's files by name; makes the merge once, to hash its tensors.

    evidence: plain JSON on the choice (rule, metrics, who, when), kept as it is.
    """
    config = exported_config(point, inputs)
    manifest = _manifest(point, inputs, evidence)
    return {
        CONFIG: config,
        SCRIPT: _script(point, inputs, manifest),
        MANIFEST: json.dumps(manifest, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
        README: _readme(point, manifest, config),
    }


def write_bundle(out: Path, point: MergePoint, inputs: BundleInputs, evidence: dict[str, Any]) -> dict[str, Any]:
    """Write a bundle to the folder `out`, whole or not at all; returns its manifest."""
    files = bundle_files(point, inputs, evidence)
    with fresh_folder(out) as part:
        for name, text in files.items():
            (part / name).write_text(text, encoding="utf-8")
        (part / SCRIPT).chmod(0o755)
    manifest: dict[str, Any] = json.loads(files[MANIFEST])
    return manifest


def bundle_zip(point: MergePoint, inputs: BundleInputs, evidence: dict[str, Any]) -> bytes:
    """The same bundle as a zip file; equal content gives equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in bundle_files(point, inputs, evidence).items():
            entry = zipfile.ZipInfo(name)  # dated 1980: the zip says nothing of when it was made
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if name == SCRIPT else 0o644) << 16
            archive.writestr(entry, text)
    return buffer.getvalue()


def exported_config(point: MergePoint, inputs: BundleInputs) -> str:
    """The text of mergekit.yaml."""
    names = model_names(inputs)
    template, dtype = exported_template(point, inputs.models), inputs.merger.made.out_dtype
    return to_yaml(mergekit_config(point, names["base"], names["safe"], names["useful"], dtype, template))


def exported_template(point: MergePoint, models: Models) -> str | None:
    """The chat template that an exported config names: model-safe's, or None where mergekit copies that anyway.

    mergekit copies the template of the merge's base, and a raw base has none or another than the fine-tunes learnt.
    """
    tuned = chat_template(models.safe)
    return tuned if tuned != chat_template(models.folder(point.base_role)) else None


def model_names(inputs: BundleInputs) -> dict[Role, str]:
    """The three models as the config calls them."""
    return {role: inputs.names.get(role, name) for role, name in INPUTS.items()}


def _manifest(point: MergePoint, inputs: BundleInputs, evidence: dict[str, Any]) -> dict[str, Any]:
    ids = input_ids(point, inputs.models)
    made = inputs.merger.made
    return {
        "format": FORMAT,
        "merge_id": merge_id(point, ids, threads=made.threads, level=made.kernel_level, out_dtype=made.out_dtype),
        "point_id": point.point_id,
        "point": json.loads(canonical_json(asdict(point))),
        "inputs": {
            role: {"name": model_names(inputs)[role], "checkpoint_id": ids[role], "weights_sha256": digest}
            for role, digest in made.inputs.items()
        },
        "seed": point.mask_seed,
        "threads": made.threads,
        "device": "cpu",
        "kernel_level": made.kernel_level,
        "out_dtype": made.out_dtype,
        "versions": {**versions(), "python": platform.python_version()},
        "masks": inputs.merger.draw(),
        "tensors": tensor_hashes(inputs.merger, point),
        "evidence": evidence,
    }


def versions() -> dict[str, str]:
    """Versions of the packages that a merge depends on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def tensor_hashes(merger: Merger, point: MergePoint) -> dict[str, dict[str, Any]]:
    """By output tensor: dtype, shape, and sha256 of its little-endian bytes."""
    from merge.tensor_bytes import tensor_sha256

    return {
        name: {
            "dtype": str(tensor.dtype).removeprefix("torch."),
            "shape": list(tensor.shape),
            "sha256": tensor_sha256(tensor),
        }
        for name, tensor in merger.blend(point)
    }


def weights_digest(tensors: dict[str, dict[str, Any]]) -> str:
    """One hash for all tensors of a checkpoint, however they are spread over files."""
    return full_hash(tensors)


def _script(point: MergePoint, inputs: BundleInputs, manifest: dict[str, Any]) -> str:
    local = [role for role in (point.base_role, *point.term_roles) if role not in inputs.names]
    links = "".join(
        f"#   ln -s /where/it/lies inputs/{role}    # weights sha256 {manifest['inputs'][role]['weights_sha256']}\n"
        for role in local
    )
    checks = "".join(
        f'[ -d inputs/{role} ] || {{ echo "inputs/{role} is missing: link the model there" >&2; exit 1; }}\n'
        for role in local
    )
    pins = " ".join(f"{name}=={version}" for name, version in versions().items() if name != "mergescope")
    return f"""#!/bin/sh
# Rebuilds the merged checkpoint in {OUTPUT}/ with stock mergekit, bit for bit.
# It needs: pip install {pins}
# and the models beside this file:
#   mkdir inputs
{links}# Another number of threads or another ATEN_CPU_CAPABILITY changes the last bit of some weights.
set -eu
cd "$(dirname "$0")"
{checks}export ATEN_CPU_CAPABILITY={inputs.merger.made.kernel_level}
exec {" ".join(command(point, inputs.merger.made.threads))}
"""


def _readme(point: MergePoint, manifest: dict[str, Any], config: str) -> str:
    rows = "\n".join(
        f"| {role} | `{entry['name']}` | `{entry['weights_sha256']}` |" for role, entry in manifest["inputs"].items()
    )
    return f"""# Merge {manifest["merge_id"]}

{textwrap.fill(point.summary + ".", 118)}

| role | model | sha256 of the weights |
|---|---|---|
{rows}

## Rebuild and check

`sh {SCRIPT}` rebuilds the checkpoint with stock mergekit {manifest["versions"]["mergekit"]}; it says where to link the
models. `mergescope verify . --inputs inputs` rebuilds it too and compares the sha256 of every tensor with
`{MANIFEST}`, which also holds the evidence that the choice was made on.

```yaml
{config}```
"""
