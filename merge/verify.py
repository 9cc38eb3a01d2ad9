"""Rebuild a bundle's checkpoint with stock mergekit and compare every tensor with the manifest."""

from __future__ import annotations

import importlib.metadata
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from merge.bundle import PACKAGES
from merge.identity import kernel_level, weights_hash
from merge.masks import make_masks, open_masks
from merge.mergekit_yaml import CONFIG, INPUTS, to_yaml
from merge.methods import METHODS
from merge.points import MergePoint, Role
from merge.sources import MappedCheckpoint, Models, check_models, stored_tensors
from merge.stock import stock_merge
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import MANIFEST, read_json

KEYS = {"merge_method", "base_model", "models", "parameters", "dtype", "out_dtype", "chat_template"}
MODEL_KEYS = {"model", "parameters"}
LEVELS = ("default", "avx2", "avx512")
"""CPU kernel levels, each able to run as those before it."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What came of a check."""

    compared: int
    """Tensors in the manifest."""
    differing: tuple[str, ...]
    """Tensors whose bytes differ, or that only one side has."""
    causes: tuple[str, ...]
    """What differs between then and now that may explain it, likeliest first; also given where nothing differs."""

    @property
    def ok(self) -> bool:
        """Whether every tensor is the same in every bit."""
        return not self.differing


def verify(bundle: Path, inputs: Path) -> VerifyReport:
    """Rebuild the checkpoint of `bundle` and compare it.

    inputs: a folder with the models as base, safe and useful. Nothing from the bundle is run: its config is
    checked key by key and given to the installed mergekit. Raises MergescopeError for a bundle that is no bundle.
    """
    manifest, config = _read(bundle)
    roles: tuple[Role, ...] = tuple(manifest["inputs"])
    models = Models(inputs / "base", inputs / "safe", inputs / "useful")
    check_models(models, roles)
    changed = [r for r in roles if weights_hash(models.folder(r)) != manifest["inputs"][r]["weights_sha256"]]
    causes = [f"inputs/{role} holds other weights than the merge was made from" for role in changed]
    causes += _differences(manifest)
    with tempfile.TemporaryDirectory() as room:
        text = to_yaml(_with_local_names(config, manifest))
        level, seed, threads = manifest["kernel_level"], manifest["seed"], manifest["threads"]
        merged = stock_merge(Path(room), text, models, roles, seed=seed, threads=threads, level=level)
        differing = _differing(manifest["tensors"], merged)
    if differing and not changed:
        causes = [_masks_cause(manifest, models), *causes]
    return VerifyReport(len(manifest["tensors"]), tuple(differing), tuple(causes))


def _read(bundle: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    for name in (MANIFEST, CONFIG):
        if (bundle / name).is_symlink():
            raise MergescopeError("a bundle holds no symbolic links", where=bundle / name)
        if not (bundle / name).is_file():
            raise MergescopeError("no bundle: a file is missing", where=bundle / name)
    manifest = read_json(bundle / MANIFEST)
    try:
        config = yaml.safe_load((bundle / CONFIG).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MergescopeError(f"not readable as YAML: {error}", where=bundle / CONFIG) from None
    _check_manifest(manifest, bundle / MANIFEST)
    _check_keys(config, bundle / CONFIG)
    return manifest, config


def _check_manifest(manifest: Any, where: Path) -> None:
    wanted = {"format": int, "inputs": dict, "seed": int, "threads": int, "kernel_level": str, "tensors": dict}
    for key, kind in {**wanted, "point": dict, "masks": dict | None, "versions": dict}.items():
        if not isinstance(manifest, dict) or not isinstance(manifest.get(key), kind):
            raise MergescopeError(f"no bundle's manifest: {key} is missing or of another kind", where=where)
    if manifest["format"] != 1:
        raise MergescopeError("a bundle of another version", where=where, value=manifest["format"])
    if manifest["kernel_level"] not in LEVELS:
        raise MergescopeError("no known CPU kernel level", where=where, value=manifest["kernel_level"])
    if not set(manifest["inputs"]) <= set(INPUTS):
        raise MergescopeError("unknown role among the inputs", where=where, value=sorted(manifest["inputs"]))


def _check_keys(config: Any, where: Path) -> None:
    """mergekit ignores keys that it does not know, so that a config could say one thing and do another."""
    if not isinstance(config, dict) or not isinstance(config.get("models"), list):
        raise MergescopeError("no mergekit config", where=where)
    method = next((method for name, method in METHODS.items() if name == config.get("merge_method")), None)
    if method is None:
        raise MergescopeError("a method that no bundle has", where=where, value=config.get("merge_method"))
    places = [("", config, KEYS), ("parameters", config.get("parameters", {}), set(method.parameters))]
    for i, entry in enumerate(config["models"]):
        places.append((f"models[{i}]", entry, MODEL_KEYS))
        places.append((f"models[{i}].parameters", entry.get("parameters", {}), set(method.model_parameters)))
    for place, found, known in places:
        if odd := sorted(set(map(str, found)) - known):
            raise MergescopeError(f"unknown key {place + '.' if place else ''}{odd[0]}", where=where)


def _with_local_names(config: dict[str, Any], manifest: dict[str, Any]) -> dict[str, Any]:
    """The config with every model called ./inputs/<role>, whatever Hub id it had."""
    local = {entry["name"]: INPUTS[role] for role, entry in manifest["inputs"].items()}
    try:
        models = [{**entry, "model": local[entry["model"]]} for entry in config["models"]]
        return {**config, "base_model": local[config["base_model"]], "models": models}
    except KeyError as error:
        raise MergescopeError("the config names a model that the manifest does not", value=error.args[0]) from None


def _differing(wanted: dict[str, Any], merged: Path) -> list[str]:
    from merge.tensor_bytes import tensor_sha256

    checkpoint, names = MappedCheckpoint(merged), stored_tensors(merged)
    odd = set(wanted) ^ set(names)
    different = {n for n in set(wanted) & set(names) if tensor_sha256(checkpoint.tensor(n)) != wanted[n]["sha256"]}
    return sorted(odd | different)


def _differences(manifest: dict[str, Any]) -> list[str]:
    then = manifest["versions"]
    causes = [
        f"{name} is {importlib.metadata.version(name)} here and was {then[name]}"
        for name in PACKAGES
        if name != "mergescope" and name in then and importlib.metadata.version(name) != then[name]
    ]
    here, wanted = kernel_level(), manifest["kernel_level"]
    if here in LEVELS and LEVELS.index(here) < LEVELS.index(wanted):
        causes.append(f"this CPU runs at kernel level {here}, the merge was made at {wanted}")
    return causes


def _masks_cause(manifest: dict[str, Any], models: Models) -> str:
    """Draw the masks again, and say what differs in them or their scales."""
    from merge.blend import masks_digest

    point = _point(manifest["point"])
    if point.way == "mergekit" or manifest.get("masks") is None:
        return "mergekit itself made this merge, so no masks are kept: another CPU, number of threads, seed or config"
    inputs = {role: entry["weights_sha256"] for role, entry in manifest["inputs"].items()}
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "masks"
        level, threads = manifest["kernel_level"], manifest["threads"]
        make_masks(folder, point, models, inputs=inputs, threads=threads, level=level)
        now = masks_digest(open_masks(folder))
    if now["planes_sha256"] != manifest["masks"]["planes_sha256"]:
        return "other masks: the seed, a density, or mergekit's or torch's version differs"
    steps = _ulps(now["scales"], manifest["masks"]["scales"])
    if steps:
        return f"same masks, scale differs by up to {steps} ulp: other CPU or number of threads"
    return "same masks and scales: the config, or the hashes in the manifest, were changed"


def _ulps(now: dict[str, dict[str, float]], then: dict[str, dict[str, float]]) -> int:
    """Largest distance between two scales, in steps of float32."""
    import numpy as np

    def bits(value: float) -> int:
        return int(np.float32(value).view(np.int32))

    pairs = [(scale, then[name][role]) for name, roles in now.items() for role, scale in roles.items()]
    return max((abs(bits(a) - bits(b)) for a, b in pairs), default=0)


def _point(entry: dict[str, Any]) -> MergePoint:
    try:
        return TypeAdapter(MergePoint).validate_python(entry)
    except ValidationError as error:
        raise MergescopeError(f"the manifest's merge point is not readable: {error.errors()[0]['msg']}") from None
