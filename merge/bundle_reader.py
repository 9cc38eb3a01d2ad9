"""Reading a bundle that anybody may have made: every file is bounded, every field has a type and a range, and nothing
outside the bundle is reached."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from merge.bundle import CHECKPOINT, CONTAINER, FORMAT, README, SCORES, SCRIPT
from merge.mergekit_yaml import CONFIG, INPUTS
from merge.points import MergePoint, Role
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import MANIFEST
from mergescope.ground.ids import decimal6, file_hash

LEVELS = ("default", "avx2", "avx512")
"""CPU kernel levels, each able to run as those before it."""
FILES = (MANIFEST, CONFIG, SCRIPT, SCORES, README, CONTAINER)
"""A bundle's files, besides its checkpoint."""
LARGEST_FILE = 256 << 20
"""Bytes of one file that is read into memory: a manifest of 200,000 tensors takes a fifth of it."""
LARGEST_CONFIG = 1 << 20
MOST_TENSORS = 200_000
DEEPEST = 12
"""Nesting of JSON and YAML."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Text = Annotated[str, StringConstraints(max_length=10_000)] | None
FileName = Annotated[str, StringConstraints(pattern=rf"^(?:{CHECKPOINT}/)?[A-Za-z0-9][A-Za-z0-9._-]{{0,254}}$")]
ModelName = Annotated[
    str, StringConstraints(pattern=r"^(?:\./inputs/(?:base|safe|useful)|\w[\w.-]*/\w[\w.-]*(?:@[\w.-]{1,64})?)$")
]
AdapterName = Annotated[
    str,
    StringConstraints(
        pattern=r"^(?:\./inputs/(?:base|safe-adapter|useful-adapter)|\w[\w.-]*/\w[\w.-]*(?:@[\w.-]{1,64})?)$"
    ),
]
Version = Annotated[str, StringConstraints(pattern=r"^[\w.+!-]{1,64}$")]
Scale = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False, strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class AdapterEntry(_Strict):
    """The two that an input was merged from: `merge.adapters.AdapterInput` without the hash of what came out."""

    base: AdapterName
    adapter: AdapterName
    base_weights_sha256: Sha256
    files: Annotated[dict[FileName, Sha256], Field(max_length=64)]
    dtype: Name
    versions: Annotated[dict[Name, Version], Field(max_length=64)]


class InputEntry(_Strict):
    """One model that a merge was made from."""

    name: ModelName
    """As the config calls it."""
    hub: ModelName | None
    """Its Hub id; None where it has none."""
    checkpoint_id: Annotated[str, StringConstraints(pattern=r"^c2_[0-9a-f]{32}$")]
    weights_sha256: Sha256
    adapter: AdapterEntry | None
    """How it was made from base and adapter; None where it was not."""


class TensorEntry(_Strict):
    """One output tensor."""

    dtype: Literal["float64", "float32", "bfloat16", "float16", "int64", "int32", "uint8", "bool"]
    shape: Annotated[list[Annotated[int, Field(ge=0, lt=2**40)]], Field(max_length=8)]
    sha256: Sha256


class MaskDigest(_Strict):
    """What was drawn."""

    planes_sha256: Sha256
    scales: Annotated[dict[Name, dict[Role, Scale]], Field(max_length=MOST_TENSORS)]
    """k by tensor and model."""


class GateEntry(_Strict):
    label: Name
    text: Text
    acknowledged: bool


class Manifest(_Strict):
    """A bundle's manifest.json, checked."""

    format: int
    merge_id: Annotated[str, StringConstraints(pattern=r"^c2_[0-9a-f]{32}$")]
    point_id: Annotated[str, StringConstraints(pattern=r"^p2_[0-9a-f]{32}$")]
    point: dict[str, Any]
    """See `merge_point`."""
    inputs: dict[Role, InputEntry]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    threads: Annotated[int, Field(ge=1, le=1024)]
    device: Literal["cpu"]
    kernel_level: Literal["default", "avx2", "avx512"]
    out_dtype: Literal["float32", "bfloat16", "float16", "float64"]
    versions: Annotated[dict[Name, Version], Field(max_length=64)]
    choice: dict[Name, Text | int]
    evaluated: bool
    gates: Annotated[list[GateEntry], Field(max_length=16)]
    not_compared: Annotated[list[Text], Field(max_length=64)]
    release: Literal["not for release", "no gate closed"]
    provenance: dict[str, Any]
    masks: MaskDigest | None
    """None where nothing was kept of the draw."""
    tensors: Annotated[dict[Name, TensorEntry], Field(min_length=1, max_length=MOST_TENSORS)]
    files: Annotated[dict[FileName, Sha256], Field(max_length=64)]

    def merge_point(self) -> MergePoint:
        """The merge's setting; raises MergescopeError where it is none."""
        try:
            point = _POINT.validate_python(self.point)
            numbers = [decimal6(value) for value in (point.ratio, point.density_safe, point.density_useful)]
            decimal6(point.lambda_)
        except (ValidationError, ValueError) as error:
            what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise MergescopeError(f"the manifest's merge point is not readable: {what}") from None
        if not all(0 <= number <= 1 for number in numbers):
            raise MergescopeError("the manifest's merge point is impossible: ratio and densities lie in 0 to 1")
        if point.mask_seed != self.seed or point.point_id != self.point_id:
            raise MergescopeError("the manifest contradicts itself: its point is not that of seed and point_id")
        return point


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read and checked; nothing of it was run."""

    folder: Path
    manifest: Manifest
    point: MergePoint
    config: dict[str, Any]
    """mergekit.yaml, of plain values; its keys are the caller's to check."""

    @property
    def roles(self) -> tuple[Role, ...]:
        """The models that it reads, the merge's base first."""
        return (self.point.base_role, *self.point.term_roles)

    @property
    def checkpoint(self) -> Path | None:
        """The folder of merged weights, where the bundle has one."""
        folder = self.folder / CHECKPOINT
        return folder if folder.is_dir() else None

    def edited_files(self) -> list[str]:
        """Files that are not as they were exported, that are gone, or that were put into the checkpoint since."""
        files = self.manifest.files
        changed = {name for name, digest in files.items() if not self._is(name, digest)}
        if self.checkpoint is not None and any("/" in name for name in files):  # it was exported with the bundle
            here = (f"{CHECKPOINT}/{file.name}" for file in self.checkpoint.iterdir())
            changed |= {name for name in here if name not in files and not name.endswith(".safetensors")}
        return sorted(changed)

    def _is(self, name: str, digest: str) -> bool:
        file = self.folder / name
        if name.startswith(f"{CHECKPOINT}/") and self.checkpoint is None:
            return True  # the weights may have stayed behind
        return file.is_file() and file_hash(file) == digest


def read_bundle(folder: Path) -> Bundle:
    """Read the bundle in `folder`. Raises MergescopeError for whatever is no bundle of this version."""
    if not folder.is_dir():
        raise MergescopeError("no such bundle", where=folder, cure="name the folder or the .zip of a bundle")
    _refuse_links(folder)
    for name in (MANIFEST, CONFIG):
        if not (folder / name).is_file():
            raise MergescopeError("no bundle: a file is missing", where=folder / name)
    manifest = _manifest(folder / MANIFEST)
    point = manifest.merge_point()
    if set(manifest.inputs) != {point.base_role, *point.term_roles}:
        raise MergescopeError("the inputs are not those of the merge point", where=folder / MANIFEST)
    if odd := {name for name in manifest.files if "/" not in name} ^ ({*FILES} - {MANIFEST}):
        raise MergescopeError("a file has no hash, or is none of a bundle's", where=folder / MANIFEST, value=min(odd))
    if not {"mergekit", "torch"} <= manifest.versions.keys():
        raise MergescopeError("versions are missing", where=folder / MANIFEST)
    for role, entry in manifest.inputs.items():
        if entry.name not in (INPUTS[role], entry.hub):
            raise MergescopeError(f"inputs.{role} is called what it is not", where=folder / MANIFEST, value=entry.name)
    return Bundle(folder, manifest, point, _config(folder / CONFIG))


def _refuse_links(folder: Path) -> None:
    checkpoint = folder / CHECKPOINT
    inside = checkpoint.iterdir() if checkpoint.is_dir() and not checkpoint.is_symlink() else iter(())
    for path in (*(folder / name for name in FILES), checkpoint, *inside):
        if path.is_symlink():
            raise MergescopeError("a bundle holds no symbolic links", where=path)
        if path.parent == checkpoint and not path.is_file():
            raise MergescopeError("a checkpoint holds files alone", where=path)


def _manifest(path: Path) -> Manifest:
    raw = _json(path)
    if isinstance(raw, dict) and isinstance(raw.get("format"), int) and raw["format"] != FORMAT:
        raise MergescopeError("a bundle of another version", where=path, value=raw["format"])
    _refuse_odd(raw, path)
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise MergescopeError(f"no bundle's manifest: {place}: {first['msg']}", where=path) from None


def _json(path: Path) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no number")

    try:
        return json.loads(_text(path, LARGEST_FILE), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise MergescopeError(f"malformed JSON: {error}", where=path) from None


def _config(path: Path) -> dict[str, Any]:
    try:
        config = yaml.load(_text(path, LARGEST_CONFIG), Loader=_PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise MergescopeError(f"not readable as YAML: {error}", where=path) from None
    _refuse_odd(config, path)
    if not isinstance(config, dict):
        raise MergescopeError("no mergekit config", where=path)
    return config


def _text(path: Path, limit: int) -> str:
    size = path.stat().st_size
    if size > limit:
        raise MergescopeError(f"larger than {limit >> 20} MiB", where=path, value=f"{size >> 20} MiB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MergescopeError(f"not UTF-8 text: {error.reason}", where=path) from None


def _refuse_odd(value: Any, path: Path) -> None:
    """Raise MergescopeError for nesting without end, huge numbers, and kinds that neither JSON nor mergekit know."""
    for depth, leaf in _leaves(value, 0):
        if depth > DEEPEST:
            raise MergescopeError("nested too deeply", where=path)
        known = leaf is None or isinstance(leaf, str | bool | int | float)
        if not known or (isinstance(leaf, int | float) and not -(2**63) < leaf < 2**63):  # false for NaN too
            raise MergescopeError("holds a value of an odd kind or size", where=path, value=str(leaf)[:40])


def _leaves(value: Any, depth: int) -> Iterator[tuple[int, Any]]:
    if depth > DEEPEST or not isinstance(value, dict | list):
        yield depth, value if not isinstance(value, dict | list) else None
        return
    for entry in value.values() if isinstance(value, Mapping) else value:
        yield from _leaves(entry, depth + 1)


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(problem="aliases are not used in a config")
        return super().compose_node(parent, index)


_POINT = TypeAdapter(MergePoint)
