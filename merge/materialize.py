"""A merge point as a checkpoint on disk: the only place where a merge is ever written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from merge.identity import TEMPLATE, TEXT_FILES
from merge.merger import Merger
from merge.points import MergePoint
from merge.sources import INDEX, WEIGHTS, Models
from merge.tensor_bytes import Entry, stored_entries, tensor_entry
from mergescope.ground.errors import CheckpointError
from mergescope.ground.files import fresh_folder
from mergescope.ground.progress import Reporter

MEGABYTE = 1_000_000
SHARD_BYTES = 5_000_000_000
"""Largest shard of the written checkpoint, unless one tensor is larger."""
CONFIGS = ("tokenizer_config.json", "generation_config.json")
PLACES = ("name_or_path", "_name_or_path", "tokenizer_file", "cache_dir")
"""Keys under which configs remember where they lay on some machine; they are left out."""


def materialize(
    point: MergePoint, merger: Merger, models: Models, out: Path, reporter: Reporter | None = None
) -> dict[str, Entry]:
    """Write the checkpoint of `point` to the folder `out`, whole or not at all; returns every tensor's entry.

    Weights come from the blend; tokenizer and chat template from model-safe; config, generation config and trusted
    code from the merge's base. Every tensor is hashed as it is blended, and read back from disk once it is written.
    Raises MergescopeError where the disk has too little room, CheckpointError where it gives back other bytes.
    """
    donor = models.folder(point.base_role)
    reporter = reporter or Reporter()
    entries: dict[str, Entry] = {}
    with fresh_folder(out, merger.output_bytes) as part:
        write_shards(noted_blend(merger, point, entries, reporter), part)
        _check_written(part, entries, reporter)
        _write_config(donor, part, merger.made.out_dtype)
        for name in (*TEXT_FILES, TEMPLATE):
            _copy(models.safe / name, part)
        for file in (donor / "generation_config.json", *(donor.glob("*.py") if models.trust_remote_code else ())):
            _copy(file, part)
    return entries


def noted_blend(
    merger: Merger, point: MergePoint, entries: dict[str, Entry], reporter: Reporter
) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a merge, one at a time; the entry of each is put into `entries` as it passes."""
    done = 0
    with reporter.task("merge", round(merger.output_bytes / MEGABYTE), "MB") as task:
        for name, tensor in merger.blend(point):
            entries[name] = tensor_entry(tensor)
            yield name, tensor
            done += tensor.nbytes
            task.advance(round(done / MEGABYTE) - task.done)


def _check_written(folder: Path, entries: dict[str, Entry], reporter: Reporter) -> None:
    found: dict[str, Entry] = {}
    with reporter.task("reading back", len(entries), "tensors") as task:
        for name, entry in stored_entries(folder):
            found[name] = entry
            task.advance()
    wrong = sorted(name for name in entries.keys() | found.keys() if entries.get(name) != found.get(name))
    if wrong:
        cure = "check the disk and write again"
        raise CheckpointError(f"tensor {wrong[0]} was not read back as it was written", where=folder, cure=cure)


def _copy(file: Path, folder: Path) -> None:
    """Copy a file if it is there; a config loses the names of places on this machine."""
    if not file.is_file():
        return
    if file.name in CONFIGS:
        _write_json(folder / file.name, json.loads(file.read_text(encoding="utf-8")))
    else:
        shutil.copyfile(file, folder / file.name)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    kept = {key: value for key, value in content.items() if key not in PLACES}
    path.write_text(json.dumps(kept, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_shards(tensors: Iterable[tuple[str, torch.Tensor]], folder: Path, limit: int = SHARD_BYTES) -> None:
    """Write tensors to safetensors files of at most `limit` bytes each, with an index where there are several.

    Equal tensors in equal order give equal files. Raises OSError where the disk is full.
    """
    shards: list[list[str]] = []
    waiting: dict[str, torch.Tensor] = {}
    total = size = 0
    for name, tensor in tensors:
        if waiting and size + tensor.nbytes > limit:
            shards.append(_flush(waiting, folder, len(shards)))
            size = 0
        waiting[name] = tensor
        size += tensor.nbytes
        total += tensor.nbytes
    shards.append(_flush(waiting, folder, len(shards)))
    if len(shards) == 1:
        (folder / _shard(0)).rename(folder / WEIGHTS)
        return
    names = [f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    for i, name in enumerate(names):
        (folder / _shard(i)).rename(folder / name)
    places = {tensor: names[i] for i, shard in enumerate(shards) for tensor in shard}
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def _flush(waiting: dict[str, torch.Tensor], folder: Path, number: int) -> list[str]:
    try:
        save_file(waiting, folder / _shard(number), metadata={"format": "pt"})
    except SafetensorError as error:
        # safetensors tells a full disk in its own exception, as Rust words it
        if f"os error {errno.ENOSPC}" not in str(error):
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
    (folder / _shard(number)).chmod(0o644)  # as every other file: safetensors leaves it to its owner alone
    names = list(waiting)
    waiting.clear()
    return names


def _shard(number: int) -> str:
    return f"shard-{number}"


def _write_config(donor: Path, folder: Path, out_dtype: str) -> None:
    config = json.loads((donor / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    _write_json(folder / "config.json", {**config, "dtype": out_dtype})
