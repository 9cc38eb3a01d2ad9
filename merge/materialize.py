"""A merge point as a checkpoint on disk: the only place where a merge is ever written."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from merge.merger import Merger
from merge.points import MergePoint
from merge.sources import INDEX, WEIGHTS, Models
from mergescope.ground.files import fresh_folder

SHARD_BYTES = 5_000_000_000
"""Largest shard of the written checkpoint, unless one tensor is larger."""
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
"""Copied from model-safe, which carries the chat template that both fine-tunes learnt."""


def materialize(point: MergePoint, merger: Merger, models: Models, out: Path) -> None:
    """Write the checkpoint of `point` to the folder `out`, whole or not at all.

    Weights come from the blend; tokenizer and chat template from model-safe; config, generation config and trusted
    code from the merge's base. Raises MergescopeError where the disk has too little room.
    """
    donor = models.folder(point.base_role)
    with fresh_folder(out, merger.output_bytes) as part:
        write_shards(merger.blend(point), part)
        _write_config(donor, part, merger.made.out_dtype)
        for name in TOKENIZER_FILES:
            if (models.safe / name).is_file():
                shutil.copyfile(models.safe / name, part / name)
        for file in (donor / "generation_config.json", *(donor.glob("*.py") if models.trust_remote_code else ())):
            if file.is_file():
                shutil.copyfile(file, part / file.name)


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
    names = list(waiting)
    waiting.clear()
    return names


def _shard(number: int) -> str:
    return f"shard-{number}"


def _write_config(donor: Path, folder: Path, out_dtype: str) -> None:
    config = json.loads((donor / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    config["dtype"] = out_dtype
    (folder / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
