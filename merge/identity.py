"""Who a checkpoint is: hashes of weights, and ids of checkpoints and of merges."""

from __future__ import annotations

import importlib.metadata
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from merge.points import MergePoint, Role
from merge.sources import Models, weight_files
from mergescope.ground.files import write_json
from mergescope.ground.ids import content_id, file_hash, full_hash, text_hash

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")


def mergekit_version() -> str:
    """The installed mergekit, part of every merge's identity."""
    return importlib.metadata.version("mergekit")


def kernel_level() -> str:
    """The vector instructions that torch's CPU kernels use here, as ATEN_CPU_CAPABILITY spells them: avx512.

    The scales k are sums, and each level sums in another order. Imports torch.
    """
    import torch

    return str(torch.backends.cpu.get_cpu_capability()).lower()


def weights_hash(folder: Path, cache: Path | None = None) -> str:
    """sha256 over the sha256 of every weight file, in name order.

    A file is read once: its hash is remembered in `cache` (None: the user's cache folder) by device, inode, size
    and time of change.
    """
    book = _Book(cache or default_cache())
    hashes = [book.hash_of(file) for file in weight_files(folder)]
    book.save()
    return full_hash(hashes)


def known_weights_hash(folder: Path, cache: Path | None = None) -> str | None:
    """As `weights_hash`, without reading weights: None where a file has not been hashed since it changed."""
    book = _Book(cache or default_cache())
    hashes = [book.known_hash_of(file) for file in weight_files(folder)]
    return None if None in hashes else full_hash(hashes)


def checkpoint_id(folder: Path, cache: Path | None = None) -> str:
    """The id of a checkpoint folder: its weights, tokenizer and chat template."""
    tokenizer = {name: file_hash(folder / name) for name in TOKENIZER_FILES if (folder / name).is_file()}
    template = chat_template(folder)
    return content_id(
        "c1",
        {
            "weights": weights_hash(folder, cache),
            "tokenizer": tokenizer,
            "chat_template": None if template is None else text_hash(template),
        },
    )


def chat_template(folder: Path) -> str | None:
    """The default chat template of a checkpoint; None where it has none."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    path = folder / "tokenizer_config.json"
    template = json.loads(path.read_text(encoding="utf-8")).get("chat_template") if path.is_file() else None
    return template if isinstance(template, str) else None


def input_ids(point: MergePoint, models: Models, cache: Path | None = None) -> dict[Role, str]:
    """The checkpoint ids of the models that a merge point reads, its base first."""
    return {role: checkpoint_id(models.folder(role), cache) for role in (point.base_role, *point.term_roles)}


def merge_id(
    point: MergePoint, inputs: dict[Role, str], *, threads: int, level: str, out_dtype: str, version: str | None = None
) -> str:
    """The checkpoint id of a merge, known before its weights are: setting, inputs and what its last bits depend on.

    inputs: `input_ids`. threads: mergekit's --num-threads. level: `kernel_level`. version: mergekit's, None for
    the installed one.
    """
    return content_id(
        "c2",
        {
            "merge": asdict(point),
            "inputs": inputs,
            "threads": threads,
            "kernel_level": level,
            "out_dtype": out_dtype,
            "mergekit": version or mergekit_version(),
        },
    )


def default_cache() -> Path:
    """Where hashes of weight files are remembered: the user's cache folder, by the XDG rule."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "mergescope" / "weight-hashes.json"


class _Book:
    """Hashes of files by (device, inode, size, time of change)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, str] = {}
        self._new = False
        try:
            found: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return  # a missing or damaged cache only costs time
        self._known = found if isinstance(found, dict) else {}

    def known_hash_of(self, file: Path) -> str | None:
        return self._known.get(_key(file))

    def hash_of(self, file: Path) -> str:
        key = _key(file)
        if key not in self._known:
            self._known[key] = file_hash(file)
            self._new = True
        return self._known[key]

    def save(self) -> None:
        if not self._new:
            return
        try:
            write_json(self._path, self._known)
        except OSError:
            return  # a read-only home is no reason to stop: the next run hashes again


def _key(file: Path) -> str:
    stat = file.stat()
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
