"""Reading a bundle that anybody may have made: every file is bounded, every field has a type and a range, and nothing
outside the bundle is reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from merge.bundle import CHECKPOINT, CONTAINER, EVIDENCE, FORMAT, README, SCORES, SCRIPT
from merge.identity import LEVELS, merge_id
from merge.mergekit_yaml import CONFIG, INPUTS, mergekit_config, to_yaml
from merge.points import MergePoint, Role
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import MANIFEST
from mergescope.ground.ids import decimal6, file_hash, full_hash

FILES = (MANIFEST, CONFIG, SCRIPT, SCORES, README, CONTAINER)
"""A bundle's files, besides its checkpoint."""
ALLOWED = (*FILES, EVIDENCE)
"""The same with what not every bundle has."""
LARGEST_FILE = 256 << 20
"""Bytes of one file that is read into memory: a manifest of 200,000 tensors takes a fifth of it."""
LARGEST_CONFIG = 1 << 20
MOST_TENSORS = 200_000
MOST_FILES = 10_000
"""Weight files of one model."""
DEEPEST = 12
"""Nesting of JSON and YAML."""

EXPORTED = "name the folder or the .zip that export wrote"
ANEW = "fetch the bundle anew, or export it again"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Text = Annotated[str, StringConstraints(max_length=10_000)] | None
FileName = Annotated[str, StringConstraints(pattern=rf"^(?:{CHECKPOINT}/)?[A-Za-z0-9][A-Za-z0-9._-]{{0,254}}$")]
WeightFile = Annotated[str, StringConstraints(pattern=r"^[^/\\\x00-\x1f]{1,255}$")]
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
    """As `merge.identity.weights_hash` counts."""
    files: Annotated[dict[WeightFile, Sha256], Field(min_length=1, max_length=MOST_FILES)]
    """sha256 of each weight file, as sha256sum counts."""
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
    """See `Bundle.point`."""
    inputs: dict[Role, InputEntry]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    threads: Annotated[int, Field(ge=1, le=1024)]
    device: Literal["cpu"]
    kernel_level: str
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


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was read and checked; nothing of it was run."""

    folder: Path
    manifest: Manifest
    point: MergePoint
    """The merge's setting: that of manifest.json and of mergekit.yaml alike."""

    @property
    def roles(self) -> tuple[Role, ...]:
        """The models that it reads, the merge's base first."""
        return (self.point.base_role, *self.point.term_roles)

    @property
    def local_config(self) -> str:
        """mergekit.yaml with every model called ./inputs/<role>, whatever Hub id it had, and without the chat template:
        it changes no tensor, and mergekit would render what somebody else wrote."""
        names = INPUTS["base"], INPUTS["safe"], INPUTS["useful"]
        return to_yaml(mergekit_config(self.point, *names, self.manifest.out_dtype))

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
        raise MergescopeError("no such bundle", where=folder, cure=EXPORTED)
    _refuse_links(folder)
    for name in (MANIFEST, CONFIG):
        if not (folder / name).is_file():
            raise MergescopeError("no bundle: a file is missing", where=folder / name, cure=EXPORTED)
    manifest = _manifest(folder / MANIFEST)
    point = _point(manifest, folder / MANIFEST)
    if set(manifest.inputs) != {point.base_role, *point.term_roles}:
        raise MergescopeError("the inputs are not those of the merge point", where=folder / MANIFEST)
    named = {name for name in manifest.files if "/" not in name} | {MANIFEST}
    if odd := ({*FILES} - named) | (named - {*ALLOWED}):
        raise MergescopeError("a file has no hash, or is none of a bundle's", where=folder / MANIFEST, value=min(odd))
    _check_ids(manifest, point, folder / MANIFEST)
    _check_config(_config(folder / CONFIG), manifest, point, folder / CONFIG)
    return Bundle(folder, manifest, point)


def _point(manifest: Manifest, where: Path) -> MergePoint:
    """The merge's setting; raises MergescopeError where it is none."""
    try:
        point = _POINT.validate_python(manifest.point)
        shares = (point.ratio, point.density_safe, point.density_useful, *point.gradient)
        possible = all(0 <= decimal6(share) <= 1 for share in shares)
        decimal6(point.lambda_)
    except (ValidationError, ValueError) as error:
        what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise MergescopeError(f"the merge point is not readable: {what}", where=where) from None
    if not possible:
        raise MergescopeError("the merge point is impossible: ratio and densities lie in 0 to 1", where=where)
    if point.mask_seed != manifest.seed or point.point_id != manifest.point_id:
        what = "the manifest contradicts itself: its point is not that of seed and point_id"
        raise MergescopeError(what, where=where, cure=ANEW)
    return point


def _check_ids(manifest: Manifest, point: MergePoint, where: Path) -> None:
    """Raise MergescopeError where an id or hash is not that of what stands beside it."""
    if not {"mergekit", "torch"} <= manifest.versions.keys():
        raise MergescopeError("versions are missing", where=where, cure=ANEW)
    if manifest.kernel_level not in LEVELS:
        raise MergescopeError("no kernel level of torch", where=where, value=manifest.kernel_level, cure=ANEW)
    for role, entry in manifest.inputs.items():
        if entry.name not in (INPUTS[role], entry.hub):
            raise MergescopeError(f"inputs.{role} is called what it is not", where=where, value=entry.name)
        if full_hash([entry.files[name] for name in sorted(entry.files)]) != entry.weights_sha256:
            what = f"the manifest contradicts itself: weights_sha256 of inputs.{role} is not that of its files"
            raise MergescopeError(what, where=where, cure=ANEW)
    stated = merge_id(
        point,
        {role: entry.checkpoint_id for role, entry in manifest.inputs.items()},
        threads=manifest.threads,
        level=manifest.kernel_level,
        out_dtype=manifest.out_dtype,
        versions={name: manifest.versions[name] for name in ("mergekit", "torch")},
    )
    if stated != manifest.merge_id:
        what = "the manifest contradicts itself: merge_id is not that of its point, inputs, level, threads and versions"
        raise MergescopeError(what, where=where, cure=ANEW)


def _check_config(config: dict[str, Any], manifest: Manifest, point: MergePoint, where: Path) -> None:
    """Raise MergescopeError where mergekit.yaml is another merge than the manifest's, or holds a key more.

    mergekit ignores keys that it does not know, so that a config could say one thing and do another.
    """
    names = INPUTS | {role: entry.name for role, entry in manifest.inputs.items()}
    wanted = mergekit_config(point, names["base"], names["safe"], names["useful"], manifest.out_dtype)
    stated = dict(_by_place(yaml.safe_load(to_yaml(wanted))))
    found = dict(_by_place({key: value for key, value in config.items() if key != "chat_template"}))
    for place in (*stated, *found):
        if place not in found or place not in stated or found[place] != stated[place]:
            here, there = (repr(side[place]) if place in side else "missing" for side in (found, stated))
            name = ".".join(map(str, place))
            raise MergescopeError(
                f"not the merge of {MANIFEST}: {name} is {here[:80]} here, {there[:80]} there", where=where, cure=ANEW
            )
    if not isinstance(config.get("chat_template", ""), str):
        raise MergescopeError("chat_template is no text", where=where, cure=ANEW)


def _by_place(value: Any, place: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every leaf with the keys that lead to it; an empty mapping or list is one."""
    if not value or not isinstance(value, dict | list):
        yield place, value
        return
    for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _by_place(entry, (*place, key))


def _refuse_links(folder: Path) -> None:
    checkpoint = folder / CHECKPOINT
    inside = checkpoint.iterdir() if checkpoint.is_dir() and not checkpoint.is_symlink() else iter(())
    for path in (*(folder / name for name in ALLOWED), checkpoint, *inside):
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
            shown = hex(leaf) if isinstance(leaf, int) else str(leaf)  # str() refuses integers of 4301 digits
            raise MergescopeError("holds a value of an odd kind or size", where=path, value=shown[:40])


def _leaves(value: Any, depth: int) -> Iterator[tuple[int, Any]]:
    """Keys and values that hold no others, each with its depth."""
    if depth > DEEPEST or not isinstance(value, dict | list):
        yield depth, value if not isinstance(value, dict | list) else None
        return
    if isinstance(value, dict):
        yield from ((depth + 1, key) for key in value)
    for entry in value.values() if isinstance(value, dict) else value:
        yield from _leaves(entry, depth + 1)


class _PlainLoader(yaml.SafeLoader):
    """YAML without aliases: a few lines of them can stand for more than any memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(problem="aliases are not used in a config")
        return super().compose_node(parent, index)


_POINT = TypeAdapter(MergePoint)
