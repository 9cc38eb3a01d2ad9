"""DARE's masks and scales, drawn once per study and kept as bit planes beside an index."""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.identity import kernel_level, mergekit_version, weights_hash
from merge.mergekit_yaml import INPUTS, mergekit_config, to_yaml
from merge.points import MergePoint, Role
from merge.sources import Models, check_models
from mergescope.ground.errors import CheckpointError
from mergescope.ground.files import fresh_folder, is_done, read_json, read_manifest, write_manifest
from mergescope.ground.ids import file_hash, full_hash
from mergescope.ground.progress import Reporter

FORMAT = 2
"""Version of the folder's layout."""
PLANES = "planes.bin"
INDEX = "index.json"
ROLES: dict[str, Role] = {name: role for role, name in INPUTS.items()}
"""Roles by the names that models have in the config which masks are drawn from."""
REFUSED = 3
"""Exit code of `merge.draw` for an input that no merge can use."""


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
    level = kernel_level()
    inputs = {role: weights_hash(models.folder(role)) for role in roles}
    stage = full_hash(_stage(point, inputs, threads, level))
    folder = study_folder / "masks" / stage[:16]
    if not is_done(folder, stage):
        make_masks(folder, point, models, inputs=inputs, threads=threads, level=level, reporter=reporter)
    return folder


def make_masks(
    folder: Path,
    point: MergePoint,
    models: Models,
    *,
    inputs: dict[Role, str],
    threads: int,
    level: str,
    reporter: Reporter | None = None,
) -> None:
    """Draw masks and scales in a fresh process and write them to `folder`, manifest last.

    A process of its own, because the number of interop threads and the kernel level are settled at its start.
    inputs: weight hashes by role. threads: mergekit's --num-threads. level: see `merge.identity.kernel_level`.
    """
    config = to_yaml(mergekit_config(point, INPUTS["base"], INPUTS["safe"], INPUTS["useful"], "float32"))
    with fresh_folder(folder) as part:
        with tempfile.TemporaryDirectory() as room:
            link_inputs(Path(room), models, tuple(inputs))
            job = {"config": config, "seed": point.mask_seed, "threads": threads}
            _run_draw(job, Path(room), part, models, level, reporter or Reporter())
        stage = _stage(point, inputs, threads, level)
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


def _stage(point: MergePoint, inputs: dict[Role, str], threads: int, level: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "setting": mask_setting(point),
        "inputs": inputs,
        "threads": threads,
        "kernel_level": level,
        "mergekit": mergekit_version(),
        "torch": importlib.metadata.version("torch"),
    }


def _plain(stage: dict[str, Any]) -> dict[str, Any]:
    setting = stage["setting"]
    densities = {role: str(value) for role, value in setting["densities"].items()}
    return {**stage, "setting": {**setting, "densities": densities}}


def link_inputs(room: Path, models: Models, roles: tuple[Role, ...]) -> None:
    """Folders under the names that the exported config uses: mergekit reads `+` and `@` in a path as its own."""
    (room / "inputs").mkdir()
    for role in roles:
        (room / "inputs" / role).symlink_to(models.folder(role).resolve(), target_is_directory=True)


def _run_draw(job: dict[str, Any], room: Path, out: Path, models: Models, level: str, reporter: Reporter) -> None:
    (room / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = [sys.executable, "-m", "merge.draw", "job.json", str(out.resolve())]
    with (
        (room / "errors").open("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command, cwd=room, env=draw_environment(level), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            refused = _follow(process, reporter)
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        if refused is not None and code == REFUSED:
            role = ROLES.get(refused["model"])
            raise CheckpointError(refused["refused"], where=None if role is None else models.folder(role))
        if code != 0:
            errors.seek(0)
            raise RuntimeError(f"drawing the masks failed with exit code {code}:\n{errors.read()[-4000:]}")


def draw_environment(level: str) -> dict[str, str]:
    """The environment of a process whose sums shall come out as at kernel level `level`; nothing goes online."""
    here = str(Path(__file__).resolve().parents[1])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "ATEN_CPU_CAPABILITY": level,
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_OFFLINE": "1",
    }


def _follow(process: subprocess.Popen[str], reporter: Reporter) -> dict[str, str] | None:
    """Turn the process's lines into progress; returns its refusal, if it has one."""
    if process.stdout is None:
        raise ValueError("the process's output is not piped")
    for line in process.stdout:
        message = json.loads(line)
        if "refused" in message:
            return dict(message)
        if "total" in message:
            with reporter.task("masks", message["total"], "tensors") as task:
                for inner in process.stdout:
                    news = json.loads(inner)
                    if "refused" in news:
                        return dict(news)
                    task.advance()
    return None
