"""Rebuild a bundle's checkpoint with stock mergekit and compare every tensor with the manifest."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from merge.adapters import AdapterInput
from merge.bundle import PACKAGES
from merge.bundle_reader import Bundle, read_bundle
from merge.bundle_zip import unpack_bundle
from merge.identity import file_hashes, kernel_level, runnable_level
from merge.mergekit_yaml import CONFIG, INPUTS
from merge.redraw import Redrawn, redraw
from merge.sources import Models, check_models, local_folder, weight_files
from merge.stock import stock_merge
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.progress import Reporter


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What came of a check."""

    compared: int
    """Tensors in the manifest."""
    differing: tuple[str, ...]
    """Tensors whose bytes differ, or that only one side has; empty also where inputs are `changed`."""
    causes: tuple[str, ...]
    """What differs between then and now that may explain it, likeliest first; also given where nothing differs."""
    changed: tuple[str, ...] = ()
    """Weight files of the inputs that are not those the merge was made from: nothing was compared then."""
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
        return not (self.differing or self.changed or self.edited or self.damaged)


def verify(bundle: Path, inputs: Path | None = None, reporter: Reporter | None = None) -> VerifyReport:
    """Rebuild the checkpoint of `bundle`, a folder or a .zip of one, and compare it.

    inputs: a folder with the models as base, safe and useful; None: `inputs` in the bundle, or beside the zip. A
    model that is not there and has a Hub id is taken from the Hub, or from its local snapshot. Nothing from the
    bundle is run: its config must be that of its manifest's merge point, which is given to the installed mergekit.
    Raises MergescopeError for a bundle that is no bundle.
    """
    reporter = reporter or Reporter()
    if bundle.is_file():
        with tempfile.TemporaryDirectory() as room:
            return _verify(read_bundle(unpack_bundle(bundle, Path(room))), inputs or bundle.parent / "inputs", reporter)
    return _verify(read_bundle(bundle), inputs or bundle / "inputs", reporter)


def _verify(bundle: Bundle, inputs: Path, reporter: Reporter) -> VerifyReport:
    models = _models(bundle, inputs, reporter)
    changed = tuple(_changed(bundle, models, reporter))
    edited = tuple(bundle.edited_files())
    causes = [f"{name} is not as it was exported" for name in edited]
    if changed:  # no merge of other models could tell anything
        causes += [f"{name} is not the file that the merge was made from" for name in changed]
        return VerifyReport(len(bundle.manifest.tensors), (), tuple(causes), changed=changed, edited=edited)
    damaged = tuple(_differing(bundle, bundle.checkpoint, "reading checkpoint/", reporter)) if bundle.checkpoint else ()
    return _compared(bundle, models, causes, edited, damaged, reporter)


def _compared(
    bundle: Bundle,
    models: Models,
    causes: list[str],
    edited: tuple[str, ...],
    damaged: tuple[str, ...],
    reporter: Reporter,
) -> VerifyReport:
    """Merge the bundle's own inputs, unless the scales drawn here already say that a tensor must differ."""
    level = runnable_level(bundle.manifest.kernel_level, kernel_level())
    elsewhere = list(_elsewhere(bundle, level))
    redrawn = redraw(bundle, models, level, reporter) if elsewhere else None
    differing = _must_differ(bundle, redrawn)
    if not differing:
        differing = _merged_differing(bundle, models, level, reporter)
        if differing and redrawn is None:
            redrawn = redraw(bundle, models, level, reporter)
    if differing and redrawn is not None:
        causes = [redrawn.cause, *causes]
    elif differing:
        causes.append("no masks are kept of this merge: another CPU, number of threads, seed or version")
    return VerifyReport(
        compared=len(bundle.manifest.tensors),
        differing=differing,
        causes=(*causes, *elsewhere),
        edited=edited,
        damaged=damaged,
        other_scales=redrawn is not None and bool(redrawn.scale_steps),
        checkpoint=bundle.checkpoint is not None,
    )


def _must_differ(bundle: Bundle, redrawn: Redrawn | None) -> tuple[str, ...]:
    """Tensors that cannot come out equal: those with another scale, or all where the masks are others."""
    if redrawn is None:
        return ()
    return tuple(sorted(redrawn.scale_steps if redrawn.same_masks else bundle.manifest.tensors))


def _models(bundle: Bundle, inputs: Path, reporter: Reporter) -> Models:
    """The models as folders: those in `inputs`, else those of the Hub. Raises CheckpointError for those missing."""
    found = {role: inputs / role for role in INPUTS}
    absent = {role: entry for role, entry in bundle.manifest.inputs.items() if not found[role].is_dir()}
    if missing := {role: entry for role, entry in absent.items() if entry.hub is None}:
        cure = f"name the folder that holds {', '.join(bundle.roles)} with --inputs"
        for role, entry in missing.items():
            if entry.adapter is not None:
                pair = AdapterInput(**entry.adapter.model_dump(), weights_sha256=entry.weights_sha256)
                cure += f"; {role} is base + adapter, made by: {pair.adapt_command(f'./inputs/{role}')}"
        raise CheckpointError(
            f"models that the merge needs are not there: {', '.join(missing)}", where=inputs, cure=cure
        )
    for role, entry in absent.items():
        reporter.say(f"{role}: {entry.hub}, from the Hub or its local snapshot")
        found[role] = local_folder(str(entry.hub))
    models = Models(found["base"], found["safe"], found["useful"])
    check_models(models, bundle.roles)
    return models


def _changed(bundle: Bundle, models: Models, reporter: Reporter) -> Iterator[str]:
    """Weight files that differ from the manifest's, that are gone, or that are too many."""
    with reporter.task("hashing the inputs", len(bundle.roles), "models") as task:
        for role in bundle.roles:
            here = {file.name: digest for file, digest in file_hashes(weight_files(models.folder(role))).items()}
            odd = {name for name, _ in here.items() ^ bundle.manifest.inputs[role].files.items()}
            yield from (f"inputs/{role}/{name}" for name in sorted(odd))
            task.advance()


def _merged_differing(bundle: Bundle, models: Models, level: str, reporter: Reporter) -> tuple[str, ...]:
    """Merge with stock mergekit and compare; raises MergescopeError where mergekit refuses the bundle's config."""
    manifest = bundle.manifest
    seed, threads = manifest.seed, manifest.threads
    said = f"seed {seed}, {threads} thread{'s' if threads > 1 else ''}"
    reporter.say(f"merging with stock mergekit, {said}: as long as any merge of this size")
    with tempfile.TemporaryDirectory() as room:
        try:
            merged = stock_merge(
                Path(room),
                bundle.local_config,
                models,
                bundle.roles,
                seed=seed,
                threads=threads,
                level=level,
                reporter=reporter,
            )
        except RuntimeError as error:
            last = [line for line in str(error).splitlines() if line.strip() and "further information" not in line][-1]
            raise MergescopeError(f"mergekit does not run it: {last.strip()}", where=bundle.folder / CONFIG) from error
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


def _elsewhere(bundle: Bundle, level: str) -> Iterator[str]:
    """What is other here than it was then: versions, CPU."""
    then = bundle.manifest.versions
    for name in PACKAGES:
        if name != "mergescope" and name in then and (here := importlib.metadata.version(name)) != then[name]:
            yield f"{name} is {here} here and was {then[name]}"
    if level != bundle.manifest.kernel_level:
        yield f"this CPU runs at kernel level {level}, the merge was made at {bundle.manifest.kernel_level}"
