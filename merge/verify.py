"""Rebuild a bundle's checkpoint with stock mergekit and compare every tensor with the manifest."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.adapters import AdapterInput
from merge.bundle import PACKAGES
from merge.bundle_reader import LEVELS, Bundle, read_bundle
from merge.bundle_zip import unpack_bundle
from merge.identity import kernel_level, weights_hash
from merge.masks import Conditions, make_masks, open_masks
from merge.mergekit_yaml import CONFIG, INPUTS, to_yaml
from merge.methods import METHODS
from merge.points import Role
from merge.sources import Models, check_models, local_folder
from merge.stock import stock_merge
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.progress import Reporter

KEYS = {"merge_method", "base_model", "models", "parameters", "dtype", "out_dtype", "chat_template"}
MODEL_KEYS = {"model", "parameters"}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What came of a check."""

    compared: int
    """Tensors in the manifest."""
    differing: tuple[str, ...]
    """Tensors whose bytes differ, or that only one side has."""
    causes: tuple[str, ...]
    """What differs between then and now that may explain it, likeliest first; also given where nothing differs."""
    edited: tuple[str, ...] = ()
    """Files of the bundle that are not as they were exported."""
    damaged: tuple[str, ...] = ()
    """Tensors of the bundle's own checkpoint/ that are not those of the manifest."""
    other_scales: bool = False
    """The masks are the same and scales k differ in their last bits: another CPU, and no other merge."""
    checkpoint: bool = False
    """Whether the bundle has a checkpoint/ that was compared too."""

    @property
    def ok(self) -> bool:
        """Whether every tensor is the same in every bit, and every file as it was exported."""
        return not (self.differing or self.edited or self.damaged)


def verify(bundle: Path, inputs: Path | None = None, reporter: Reporter | None = None) -> VerifyReport:
    """Rebuild the checkpoint of `bundle`, a folder or a .zip of one, and compare it.

    inputs: a folder with the models as base, safe and useful; None: `inputs` in the bundle, or beside the zip. A
    model that is not there and has a Hub id is taken from the Hub, or from its local snapshot. Nothing from the
    bundle is run: its config is checked key by key and given to the installed mergekit. Raises MergescopeError for
    a bundle that is no bundle.
    """
    reporter = reporter or Reporter()
    if bundle.is_file():
        with tempfile.TemporaryDirectory() as room:
            return _verify(read_bundle(unpack_bundle(bundle, Path(room))), inputs or bundle.parent / "inputs", reporter)
    return _verify(read_bundle(bundle), inputs or bundle / "inputs", reporter)


def _verify(bundle: Bundle, inputs: Path, reporter: Reporter) -> VerifyReport:
    manifest = bundle.manifest
    _check_shape(bundle.config, bundle.folder / CONFIG)
    _check_keys(bundle.config, bundle.folder / CONFIG)
    config = _with_local_names(bundle)
    edited = tuple(bundle.edited_files())
    damaged = tuple(_differing(bundle, bundle.checkpoint, "reading checkpoint/", reporter)) if bundle.checkpoint else ()
    models = _models(bundle, inputs, reporter)
    changed = _changed(bundle, models, reporter)
    causes = [f"{name} is not as it was exported" for name in edited]
    causes += [f"inputs/{role} holds other weights than the merge was made from" for role in changed]
    elsewhere = _differences(bundle)
    drawn = _drawn(bundle, models, reporter) if elsewhere and not changed else None
    if drawn is not None and drawn.differing:  # no merge could come out equal: none is made
        differing, causes = drawn.differing, [drawn.cause, *causes]
    else:
        differing = _merged_differing(bundle, config, models, reporter)
        if differing and not changed and drawn is None:
            drawn = _drawn(bundle, models, reporter)
        if differing and drawn is not None:
            causes.append(drawn.cause)
    return VerifyReport(
        compared=len(manifest.tensors),
        differing=differing,
        causes=(*causes, *elsewhere),
        edited=edited,
        damaged=damaged,
        other_scales=drawn is not None and drawn.other_scales,
        checkpoint=bundle.checkpoint is not None,
    )


def _models(bundle: Bundle, inputs: Path, reporter: Reporter) -> Models:
    """The models as folders: those in `inputs`, else those of the Hub. Raises CheckpointError where one is missing."""
    found = {role: inputs / role for role in INPUTS}
    for role, entry in bundle.manifest.inputs.items():
        if found[role].is_dir():
            continue
        if entry.hub is None:
            cure = "link the model there, or name the folder that holds it with --inputs"
            if entry.adapter is not None:
                pair = AdapterInput(**entry.adapter.model_dump(), weights_sha256=entry.weights_sha256)
                cure += f"; it is base + adapter, made by: {pair.adapt_command(f'./inputs/{role}')}"
            raise CheckpointError(f"the model {role} is not there", where=found[role], cure=cure)
        reporter.say(f"{role}: {entry.hub}, from the Hub or its local snapshot")
        found[role] = local_folder(entry.hub)
    models = Models(found["base"], found["safe"], found["useful"])
    check_models(models, bundle.roles)
    return models


def _changed(bundle: Bundle, models: Models, reporter: Reporter) -> list[Role]:
    changed: list[Role] = []
    with reporter.task("hashing the inputs", len(bundle.roles), "models") as task:
        for role in bundle.roles:
            if weights_hash(models.folder(role)) != bundle.manifest.inputs[role].weights_sha256:
                changed.append(role)
            task.advance()
    return changed


def _check_shape(config: Any, where: Path) -> None:
    """mergekit itself checks values; here only that keys can be looked at."""
    models = config.get("models")
    if not isinstance(config.get("base_model"), str) or not isinstance(models, list):
        raise MergescopeError("no mergekit config", where=where)
    entries = [config, *models]
    if not all(isinstance(e, dict) and isinstance(e.get("parameters", {}), dict) for e in entries):
        raise MergescopeError("no mergekit config: parameters and models are mappings", where=where)
    if not all(isinstance(entry.get("model"), str) for entry in models):
        raise MergescopeError("no mergekit config: a model without a name", where=where)


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


def _with_local_names(bundle: Bundle) -> str:
    """The config as YAML with every model called ./inputs/<role>, whatever Hub id it had, and without the chat
    template: it changes no tensor, and mergekit would render what somebody else wrote."""
    local = {entry.name: INPUTS[role] for role, entry in bundle.manifest.inputs.items()}
    kept = {key: value for key, value in bundle.config.items() if key != "chat_template"}
    try:
        models = [{**entry, "model": local[entry["model"]]} for entry in kept["models"]]
        return to_yaml({**kept, "base_model": local[kept["base_model"]], "models": models})
    except KeyError as error:
        raise MergescopeError("the config names a model that the manifest does not", value=error.args[0]) from None


def _merged_differing(bundle: Bundle, config: str, models: Models, reporter: Reporter) -> tuple[str, ...]:
    """Merge with stock mergekit and compare; raises MergescopeError where mergekit refuses the bundle's config."""
    manifest = bundle.manifest
    level, seed, threads = manifest.kernel_level, manifest.seed, manifest.threads
    reporter.say(f"merging with stock mergekit, seed {seed}, {threads} thread(s): as long as any merge of this size")
    with tempfile.TemporaryDirectory() as room:
        try:
            merged = stock_merge(Path(room), config, models, bundle.roles, seed=seed, threads=threads, level=level)
        except RuntimeError as error:
            said = str(error).strip().splitlines()[-1]
            raise MergescopeError(f"mergekit does not run this config: {said}", where=bundle.folder / CONFIG) from error
        return tuple(_differing(bundle, merged, "comparing", reporter))


def _differing(bundle: Bundle, folder: Path, doing: str, reporter: Reporter) -> list[str]:
    """Tensors of a checkpoint folder that are not those of the manifest, in dtype, shape or bytes."""
    from merge.tensor_bytes import stored_entries

    wanted = {name: entry.model_dump() for name, entry in bundle.manifest.tensors.items()}
    different: set[str] = set()
    with reporter.task(doing, len(wanted), "tensors") as task:
        for name, entry in stored_entries(folder):
            if wanted.pop(name, None) != entry:
                different.add(name)
            task.advance()
    return sorted(different | wanted.keys())


def _differences(bundle: Bundle) -> list[str]:
    """What is other here than it was then: versions, CPU."""
    then = bundle.manifest.versions
    causes = [
        f"{name} is {importlib.metadata.version(name)} here and was {then[name]}"
        for name in PACKAGES
        if name != "mergescope" and name in then and importlib.metadata.version(name) != then[name]
    ]
    here, wanted = kernel_level(), bundle.manifest.kernel_level
    if here in LEVELS and LEVELS.index(here) < LEVELS.index(wanted):
        causes.append(f"this CPU runs at kernel level {here}, the merge was made at {wanted}")
    return causes


@dataclass(frozen=True, slots=True)
class _Drawn:
    """How masks and scales drawn now compare with the manifest's."""

    cause: str
    differing: tuple[str, ...]
    """Tensors that must differ: those with another scale, or all where the masks are others."""
    other_scales: bool


def _drawn(bundle: Bundle, models: Models, reporter: Reporter) -> _Drawn | None:
    """Draw the masks again and compare; None where the manifest has none."""
    from merge.blend import masks_digest

    manifest = bundle.manifest
    if bundle.point.way == "mergekit":
        cause = "mergekit itself made this merge, so no masks are kept: another CPU, number of threads, seed or config"
        return _Drawn(cause, (), other_scales=False)
    if manifest.masks is None:
        return None
    inputs = {role: manifest.inputs[role].weights_sha256 for role in bundle.roles}
    level, threads = manifest.kernel_level, manifest.threads
    conditions = Conditions(inputs, threads, level)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "masks"
        make_masks(
            folder,
            bundle.point,
            models,
            threads=threads,
            conditions=lambda: conditions,
            level=level,
            reporter=reporter,
        )
        now = masks_digest(open_masks(folder))
    if now["planes_sha256"] != manifest.masks.planes_sha256:
        cause = "other masks: the seed, a density, or mergekit's or torch's version differs"
        return _Drawn(cause, tuple(sorted(manifest.tensors)), other_scales=False)
    others = dict(_other_scales(now["scales"], manifest.masks.scales))
    if others:
        steps = max(others.values())
        cause = f"same masks, scale differs by up to {steps} ulp: other CPU or number of threads"
        return _Drawn(cause, tuple(sorted(others)), other_scales=True)
    return _Drawn("same masks and scales: the config, or the hashes in the manifest, were changed", (), False)


def _other_scales(now: dict[str, dict[str, float]], then: dict[str, dict[Role, float]]) -> Iterator[tuple[str, int]]:
    """Tensors whose scales differ, and by how many steps of float32; raises MergescopeError for other tensors."""
    if {name: set(roles) for name, roles in now.items()} != {name: set(roles) for name, roles in then.items()}:
        raise MergescopeError("the manifest's scales are not those of these models")
    for name, roles in now.items():
        steps = max((abs(_bits(scale) - _bits(then[name][role])) for role, scale in roles.items()), default=0)  # type: ignore[index]
        if steps:
            yield name, steps


def _bits(value: float) -> int:
    import numpy as np

    return int(np.float32(value).view(np.int32))
