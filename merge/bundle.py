"""The export of a choice: a folder from which anyone rebuilds the checkpoint with stock mergekit, bit for bit."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merge.adapters import AdapterInput
from merge.card import Place, model_card
from merge.container import dockerfile
from merge.gates import Gate, release_of
from merge.identity import chat_template, file_hashes, input_ids, merge_id
from merge.inert import placeless
from merge.mergekit_yaml import CONFIG, INPUTS, mergekit_config, to_yaml
from merge.points import MergePoint, Role
from merge.script import fetch_lines, reproduce_script
from merge.sources import Models, weight_files
from mergescope.ground.files import MANIFEST, fresh_folder
from mergescope.ground.ids import canonical_json, file_hash
from mergescope.ground.progress import Reporter

if TYPE_CHECKING:
    from merge.merger import Merger

FORMAT = 1
"""Version of the bundle's layout."""
SCRIPT = "reproduce.sh"
SCORES = "scores.json"
README = "README.md"
CONTAINER = "Dockerfile"
EVIDENCE = "evidence.json"
"""What the choice rests on; only where somebody chose the point in the browser."""
CHECKPOINT = "checkpoint"
"""Folder of the merged weights, where they are written."""
PACKAGES = ("mergekit", "torch", "transformers", "safetensors", "numpy", "mergescope")
"""What the manifest names with its version."""


@dataclass(frozen=True, slots=True)
class BundleInputs:
    """What a bundle's weights are made from."""

    models: Models
    merger: Merger
    """From `merge.merger.open_merger` for the point."""
    names: Mapping[Role, str] = field(default_factory=dict)
    """Hub ids (`owner/name@commit`) of the models that have one; the others are called inputs/<role>."""
    adapters: Mapping[Role, AdapterInput] = field(default_factory=dict)
    """How the models that are base + adapter were made; reproduce.sh makes them again as inputs/<role>."""


@dataclass(frozen=True, slots=True)
class Story:
    """What a bundle tells of its point besides the weights: plain JSON from the caller, kept as it is.

    Absolute paths inside its texts are cut down to their last name.
    """

    scores: Mapping[str, Any]
    """`scores.json`; its keys: `study`, `metrics`, `prompt_sets`, `judges` (see mergescope.scores)."""
    choice: Mapping[str, Any]
    """`rule`, `by`, `when`, `note`, `source`; None where it is not recorded."""
    provenance: Mapping[str, Any]
    """`licence`, `language`, `models`, `training_data`, `notes` (see mergescope.provenance)."""
    evidence: str | None = None
    """What the choice rests on, byte for byte as it was hashed: `evidence_sha256` of `choice`. None: not known."""
    gates: Sequence[Gate] = ()
    not_compared: Sequence[str] = ()
    """Why the point was not compared with the base, in words; empty where it was."""

    @property
    def evaluated(self) -> bool:
        """Whether any judge has numbers of this point."""
        return any(c["role"] == "point" for judge in self.scores["judges"] for c in judge["checkpoints"])


def write_bundle(
    out: Path,
    point: MergePoint,
    inputs: BundleInputs,
    story: Story,
    *,
    write_weights: bool = False,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Write a bundle to the folder `out`, whole or not at all; returns its manifest. The merge is made once.

    write_weights: write the merged checkpoint into it as well. Raises MergescopeError for a point that the merger
    does not make, or for want of room on the disk.
    """
    reporter = reporter or Reporter()
    with fresh_folder(out) as part:
        tensors = _tensors(part if write_weights else None, point, inputs, reporter)
        manifest = _manifest(point, inputs, story, tensors)
        scores = placeless(dict(story.scores))
        texts = _texts(point, inputs, manifest, scores, "bundle with checkpoint" if write_weights else "bundle")
        if story.evidence is not None:
            texts[EVIDENCE] = story.evidence
        for name, text in texts.items():
            (part / name).write_text(text, encoding="utf-8")
        (part / SCRIPT).chmod(0o755)
        if write_weights:
            card = model_card(point, manifest, scores, texts[CONFIG], "checkpoint")
            (part / CHECKPOINT / README).write_text(card, encoding="utf-8")
        manifest["files"] = _hashes(part)
        (part / MANIFEST).write_text(_json(manifest), encoding="utf-8")
    return manifest


def exported_config(point: MergePoint, inputs: BundleInputs) -> str:
    """The text of mergekit.yaml."""
    names = model_names(inputs)
    template, dtype = exported_template(point, inputs.models), inputs.merger.made.out_dtype
    donor = inputs.models.folder(point.base_role)
    if names[point.base_role] != INPUTS[point.base_role] and (donor / "chat_template.jinja").is_file():
        template = chat_template(inputs.models.safe)  # mergekit fetches no *.jinja from the Hub
    return to_yaml(mergekit_config(point, names["base"], names["safe"], names["useful"], dtype, template))


def exported_template(point: MergePoint, models: Models) -> str | None:
    """The chat template that an exported config names: model-safe's, or None where mergekit copies that anyway.

    mergekit copies the template of the merge's base, and a raw base has none or another than the fine-tunes learnt.
    """
    tuned = chat_template(models.safe)
    return tuned if tuned != chat_template(models.folder(point.base_role)) else None


def model_names(inputs: BundleInputs) -> dict[Role, str]:
    """The three models as the config calls them.

    A Hub id that two roles share would be one model to mergekit, so both are called inputs/<role> then.
    """
    shared = {name for name, count in Counter(inputs.names.values()).items() if count > 1}
    return {
        role: name if (name := inputs.names.get(role, local)) not in shared else local for role, local in INPUTS.items()
    }


def versions() -> dict[str, str]:
    """Versions of what a merge depends on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES} | {"python": platform.python_version()}


def _tensors(
    folder: Path | None, point: MergePoint, inputs: BundleInputs, reporter: Reporter
) -> dict[str, dict[str, Any]]:
    """By output tensor: dtype, shape, sha256; the weights are written to checkpoint/ in `folder`, if there is one."""
    from merge.materialize import materialize, noted_blend

    if folder is not None:
        return materialize(point, inputs.merger, inputs.models, folder / CHECKPOINT, reporter)
    entries: dict[str, dict[str, Any]] = {}
    for _ in noted_blend(inputs.merger, point, entries, reporter):
        pass  # the entries are all that is wanted
    return entries


def _texts(
    point: MergePoint, inputs: BundleInputs, manifest: Mapping[str, Any], scores: Mapping[str, Any], place: Place
) -> dict[str, str]:
    config = exported_config(point, inputs)
    return {
        CONFIG: config,
        SCRIPT: _script(point, inputs, manifest),
        SCORES: _json(scores),
        README: model_card(point, manifest, scores, config, place),
        CONTAINER: dockerfile(inputs.merger.output_bytes, manifest["out_dtype"], has_checkpoint=place != "bundle"),
    }


def _manifest(
    point: MergePoint, inputs: BundleInputs, story: Story, tensors: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    ids = input_ids(point, inputs.models)
    made, names = inputs.merger.made, model_names(inputs)
    return {
        "format": FORMAT,
        "merge_id": merge_id(point, ids, threads=made.threads, level=made.kernel_level, out_dtype=made.out_dtype),
        "point_id": point.point_id,
        "point": json.loads(canonical_json(asdict(point))),
        "inputs": {
            role: {
                "name": names[role],
                "hub": inputs.names.get(role),
                "checkpoint_id": ids[role],
                "weights_sha256": digest,
                "adapter": _adapter(inputs.adapters.get(role)),
                "files": _weight_hashes(inputs.models.folder(role)),
            }
            for role, digest in made.inputs.items()
        },
        "seed": point.mask_seed,
        "threads": made.threads,
        "device": "cpu",
        "kernel_level": made.kernel_level,
        "out_dtype": made.out_dtype,
        "versions": versions(),
        "choice": placeless(dict(story.choice)),
        "evaluated": story.evaluated,
        "gates": placeless([gate.plain() for gate in story.gates]),
        "not_compared": placeless(list(story.not_compared)),
        "release": release_of(story.gates),
        "provenance": placeless(dict(story.provenance)),
        "masks": inputs.merger.draw(),
        "tensors": tensors,
    }


def _adapter(made: AdapterInput | None) -> dict[str, Any] | None:
    """How an input was made from base and adapter, as JSON; its own hash stands beside it."""
    return None if made is None else {k: v for k, v in asdict(made).items() if k != "weights_sha256"}


def _weight_hashes(folder: Path) -> dict[str, str]:
    """sha256 of each weight file by its name, as sha256sum counts."""
    return {file.name: digest for file, digest in file_hashes(weight_files(folder)).items()}


def _script(point: MergePoint, inputs: BundleInputs, manifest: Mapping[str, Any]) -> str:
    names = model_names(inputs)
    local = {role: e["files"] for role, e in manifest["inputs"].items() if names[role] == INPUTS[role]}
    fetch = {role: fetch_lines(role, inputs.names[role]) for role in local if role in inputs.names}
    made = {role: adapter.rebuild_lines(role) for role, adapter in inputs.adapters.items()}
    return reproduce_script(
        point,
        threads=manifest["threads"],
        level=manifest["kernel_level"],
        versions=manifest["versions"],
        local=local,
        fetch=fetch,
        rebuild=made,
        trust_remote_code=inputs.models.trust_remote_code,
    )


def _hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file but the weights, whose tensors have hashes of their own."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file() and file.suffix != ".safetensors")
    return {file.relative_to(folder).as_posix(): file_hash(file) for file in files}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
