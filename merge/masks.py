"""DARE's masks and scales, drawn once per study and kept as bit planes beside an index."""

from __future__ import annotations

import importlib.metadata
import math
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.child import Child, child
from merge.forecast import mask_bytes
from merge.identity import HASHERS, kernel_level, known_weights_hash, mergekit_version, weights_hashes, weights_stamp
from merge.mergekit_yaml import INPUTS, ROLES, mergekit_config, to_yaml
from merge.points import MergePoint, Role
from merge.sources import Models, check_models, stored_tensors
from mergescope.ground.errors import CheckpointError
from mergescope.ground.files import MANIFEST, fresh_folder, is_done, read_json, read_manifest, write_manifest
from mergescope.ground.ids import file_hash, full_hash
from mergescope.ground.progress import Reporter

FORMAT = 2
"""Version of the folder's layout."""
PLANES = "planes.bin"
INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class Source:
    """Where one model's values of an output tensor come from."""

    name: str
    """Name of the stored tensor; another than the output's where weights are tied or renamed."""
    converted: bool
    """True where mergekit makes the tensor `name` from several stored ones (fused experts)."""


@dataclass(frozen=True, slots=True)
class Term:
    """One model's part in one tensor."""

    role: Role
    source: Source
    """The fine-tune's values."""
    scale: float
    """k = |d|_1 / |m d|_1, a float32 value; 1 where nothing is rescaled."""
    plane: int | None
    """Place of the mask in planes.bin, in bytes; None where everything is kept."""


@dataclass(frozen=True, slots=True)
class TensorRecord:
    """How one output tensor is made."""

    name: str
    """Name in the merged checkpoint."""
    shape: tuple[int, ...]
    base_source: Source
    """The base's values."""
    dtype: str | None
    """Dtype that the architecture wants whatever the checkpoint's; None leaves it to the checkpoint."""
    terms: tuple[Term, ...]
    """In the order in which mergekit adds them."""

    @property
    def numel(self) -> int:
        """Number of entries; 1 for a scalar."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Masks:
    """A finished folder of masks."""

    folder: Path
    base_role: Role
    """The model that task vectors are counted from."""
    inputs: dict[Role, str]
    """Weight hashes of the models that the masks were made from."""
    setting: dict[str, Any]
    """Mode, densities, seed and rescale, as `mask_setting` gives them."""
    threads: int
    """mergekit's --num-threads that the scales were made with."""
    kernel_level: str
    """ATEN_CPU_CAPABILITY that the scales were made with."""
    planes_sha256: str
    """Hash of all masks."""
    tensors: tuple[TensorRecord, ...]
    """In the order in which they were drawn."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the bits of masks and scales depend on besides the merge point."""

    inputs: dict[Role, str]
    """Weight hashes of the models, the merge's base first."""
    threads: int
    """mergekit's --num-threads."""
    kernel_level: str
    """ATEN_CPU_CAPABILITY, such as avx512."""


def mask_setting(point: MergePoint) -> dict[str, Any]:
    """What of a merge point the masks depend on: everything random or summed, and never the ratio."""
    return {
        "method": point.method,
        "mode": point.mode,
        "densities": {role: point.density(role) for role in point.term_roles},
        "rescale": point.rescale,
        "seed": point.mask_seed,
    }


def masks_for(
    study_folder: Path, point: MergePoint, models: Models, *, threads: int, reporter: Reporter | None = None
) -> Path:
    """The folder of the masks that `point` needs, made now unless it is there already.

    Raises CheckpointError for models that cannot be merged.
    """
    roles = (point.base_role, *point.term_roles)
    check_models(models, roles)
    folder, new = study_folder / "masks", study_folder / "masks" / "new"
    with ThreadPoolExecutor(1) as aside:
        first = not folder.exists()  # then none can be there already, and drawing need not wait for the hashes
        hashed = aside.submit(_conditions, models, roles, threads, hashers=1 if first else HASHERS)
        if first:
            make_masks(new, point, models, threads=threads, conditions=hashed.result, reporter=reporter)
        stage = full_hash(_stage(point, hashed.result()))
    named = folder / stage[:16]
    if is_done(new, stage):
        new.rename(named)
    for left in (new, *folder.glob(".new.*.part")):  # of a first draw that was killed, or whose models changed since
        shutil.rmtree(left, ignore_errors=True)
    if not is_done(named, stage):
        make_masks(named, point, models, threads=threads, conditions=hashed.result, reporter=reporter)
    return named


def _conditions(models: Models, roles: tuple[Role, ...], threads: int, hashers: int) -> Conditions:
    """What is known once all weights are hashed; one hasher leaves the other cores to a process that draws."""
    level = kernel_level()
    hashes = weights_hashes([models.folder(role) for role in roles], hashers=hashers)
    return Conditions(dict(zip(roles, hashes, strict=True)), threads, level)


def drawn_masks(study_folder: Path, point: MergePoint, models: Models, *, threads: int) -> Path | None:
    """The folder of the masks that `point` needs if it is there already; reads no weights and imports no torch.

    Masks of any kernel level count. None also where the weights have not been hashed since they changed.
    """
    known = {role: known_weights_hash(models.folder(role)) for role in (point.base_role, *point.term_roles)}
    inputs = {role: digest for role, digest in known.items() if digest is not None}
    if len(inputs) < len(known):
        return None
    for folder in sorted(path.parent for path in (study_folder / "masks").glob(f"*/{MANIFEST}")):
        level = read_json(folder / MANIFEST).get("kernel_level")
        if is_done(folder, full_hash(_stage(point, Conditions(inputs, threads, level)))):
            return folder
    return None


def make_masks(
    folder: Path,
    point: MergePoint,
    models: Models,
    *,
    threads: int,
    conditions: Callable[[], Conditions],
    level: str | None = None,
    reporter: Reporter | None = None,
) -> None:
    """Draw masks and scales in a fresh process and write them to `folder`, manifest last.

    threads: mergekit's --num-threads. conditions: asked when all is drawn, so that hashing may go on meanwhile.
    level: ATEN_CPU_CAPABILITY to draw with; None for this machine's own. Raises CheckpointError where weights changed
    meanwhile, so that masks of one content never stand under the hash of another.
    """
    config = to_yaml(mergekit_config(point, INPUTS["base"], INPUTS["safe"], INPUTS["useful"], "float32"))
    roles = (point.base_role, *point.term_roles)
    densities = [point.density(role) for role in point.term_roles]
    needed = mask_bytes(stored_tensors(models.folder(point.base_role)), densities)
    with fresh_folder(folder, needed) as part:
        before = {role: weights_stamp(models.folder(role)) for role in roles}
        job = {"config": config, "seed": point.mask_seed, "threads": threads}
        with child("merge.draw", job, models, roles, level, str(part.resolve())) as process:
            _follow(process, reporter or Reporter())
        stage = _stage(point, conditions())
        if changed := [role for role in roles if weights_stamp(models.folder(role)) != before[role]]:
            where, cure = models.folder(changed[0]), "wait until it is written, and run this again"
            raise CheckpointError("the weights changed while masks were drawn from them", where=where, cure=cure)
        content = {**_plain(stage), "planes_sha256": file_hash(part / PLANES), "index_sha256": file_hash(part / INDEX)}
        write_manifest(part, stage_hash=full_hash(stage), content=content)


def open_masks(folder: Path) -> Masks:
    """Read a finished folder of masks; raises CheckpointError where its stage has not finished."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise CheckpointError("no finished masks here", where=folder, cure="run the merge stage")
    setting = manifest["setting"]
    base_role: Role = "useful" if setting["mode"] == "into-useful" else "base"
    return Masks(
        folder=folder,
        base_role=base_role,
        inputs=manifest["inputs"],
        setting=setting,
        threads=manifest["threads"],
        kernel_level=manifest["kernel_level"],
        planes_sha256=manifest["planes_sha256"],
        tensors=tuple(_record(entry, base_role) for entry in read_json(folder / INDEX)["tensors"]),
    )


def _record(entry: dict[str, Any], base_role: Role) -> TensorRecord:
    sources = {model: Source(**source) for model, source in entry["sources"].items()}
    terms = tuple(
        Term(role=ROLES[model], source=sources[model], scale=term["scale"], plane=term["plane"])
        for model, term in entry["terms"].items()
    )
    return TensorRecord(
        name=entry["name"],
        shape=tuple(entry["shape"]),
        base_source=sources[INPUTS[base_role]],
        dtype=entry["dtype"],
        terms=terms,
    )


def _stage(point: MergePoint, conditions: Conditions) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "setting": mask_setting(point),
        "inputs": conditions.inputs,
        "threads": conditions.threads,
        "kernel_level": conditions.kernel_level,
        "mergekit": mergekit_version(),
        "torch": importlib.metadata.version("torch"),
    }


def _plain(stage: dict[str, Any]) -> dict[str, Any]:
    setting = stage["setting"]
    densities = {role: str(value) for role, value in setting["densities"].items()}
    return {**stage, "setting": {**setting, "densities": densities}}


def _follow(process: Child, reporter: Reporter) -> None:
    """Turn the process's lines into progress. Raises CheckpointError for a model that no merge can use."""
    first = process.message()
    if first is None:
        return  # it failed: how, `child` tells
    with reporter.task("masks", first["total"], "tensors") as task:
        while process.message() is not None:
            task.advance()
