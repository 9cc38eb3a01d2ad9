"""Who a checkpoint is: hashes of weights, and ids of checkpoints and of merges."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from merge.points import MergePoint, Role
from merge.sources import Models, json_object, weight_files
from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import write_json
from mergescope.ground.ids import content_id, file_hash, full_hash, text_hash

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json")
"""Files of a tokenizer that hold no paths: their bytes count."""
TEXT_FILES = (*TOKENIZER_FILES, "tokenizer_config.json", "special_tokens_map.json")
"""All files of a tokenizer but its chat template: they are copied together."""
TEMPLATE = "chat_template.jinja"
"""A chat template in a file of its own; it overrides the one in tokenizer_config.json."""
SETTINGS = {
    "config.json": ("_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache"),
    "generation_config.json": ("transformers_version", "_from_model_config"),
    "tokenizer_config.json": ("name_or_path", "tokenizer_file", "vocab_file", "special_tokens_map_file", "is_local"),
    "special_tokens_map.json": (),
}
"""JSON files that change what a checkpoint says, and their keys that do not: where it came from, who wrote it, and
the dtype, which the engine's own setting overrides."""
LEVELS: dict[str, tuple[str, ...]] = {
    "default": (),
    "avx2": ("default",),
    "avx512": ("default", "avx2"),
    "sve256": ("default",),
    "vsx": ("default",),
    "zvector": ("default",),
}
"""CPU kernel levels as ATEN_CPU_CAPABILITY spells them, each with those that its CPUs can run as well."""
_SPELLED = {"no avx": "default", "z vector": "zvector"}
"""Levels that torch reports in other words than it reads."""
HASHERS = 8
"""Most files hashed at once; sha256 runs outside Python's lock."""


def mergekit_version() -> str:
    """The installed mergekit, part of every merge's identity."""
    return importlib.metadata.version("mergekit")


def kernel_level() -> str:
    """The vector instructions that torch's CPU kernels use here, as ATEN_CPU_CAPABILITY spells them: avx512.

    The scales k are sums, and each level sums in another order. Imports torch.
    """
    import torch

    said = str(torch.backends.cpu.get_cpu_capability()).lower()
    return _SPELLED.get(said, said)


def runnable_level(wanted: str, here: str) -> str:
    """`wanted` where a CPU of level `here` can run it, else `here`.

    torch believes ATEN_CPU_CAPABILITY without asking the CPU, and dies of the first instruction that is missing.
    """
    return wanted if wanted in LEVELS.get(here, ()) else here


def weights_hash(folder: Path, cache: Path | None = None) -> str:
    """sha256 over the sha256 of every weight file, in name order.

    A file is read once: its hash is remembered in `cache` (None: the user's cache folder) by device, inode, size
    and time of change.
    """
    return weights_hashes([folder], cache)[0]


def weights_hashes(folders: Sequence[Path], cache: Path | None = None, hashers: int = HASHERS) -> list[str]:
    """`weights_hash` of several checkpoints, at most `hashers` files at once."""
    files = [weight_files(folder) for folder in folders]
    known = file_hashes([file for of_one in files for file in of_one], cache, hashers)
    return [full_hash([known[file] for file in of_one]) for of_one in files]


def weights_stamp(folder: Path) -> tuple[str, ...]:
    """What tells without reading that weight files were written again: device, inode, size and times of each."""
    return tuple(_key(file) for file in weight_files(folder))


def known_weights_hash(folder: Path, cache: Path | None = None) -> str | None:
    """As `weights_hash`, without reading weights: None where a file has not been hashed since it changed."""
    known = _Book(cache or default_cache()).known
    hashes = [known.get(_key(file)) for file in weight_files(folder)]
    return None if None in hashes else full_hash(hashes)


def all_known(files: Sequence[Path], cache: Path | None = None) -> bool:
    """Whether the hash of every file is remembered, so that none is read for it."""
    known = _Book(cache or default_cache()).known
    return all(_key(file) in known for file in files)


def checkpoint_id(folder: Path, cache: Path | None = None) -> str:
    """The id of a checkpoint folder: its weights and everything in it that changes what it answers."""
    return content_id("c2", {"weights": weights_hash(folder, cache), "text_side": text_side(folder, cache)})


def text_side(folder: Path, cache: Path | None = None) -> str:
    """sha256 over what of a checkpoint folder changes its answers and is no weight.

    Configuration, generation settings (which tokens end an answer), tokenizer, chat template, and code of its own.
    Raises CheckpointError where one of the JSON files holds no object.
    """
    whole = whole_files(folder)
    known = file_hashes(whole, cache)
    settings = {name: _setting(folder / name, ignored) for name, ignored in SETTINGS.items()}
    template = chat_template(folder)
    return full_hash(
        {
            "files": {file.name: known[file] for file in whole},
            "settings": settings,
            "chat_template": None if template is None else text_hash(template),
        }
    )


def whole_files(folder: Path) -> list[Path]:
    """The files of a text side that count byte by byte: the tokenizer's, and code where a configuration names some."""
    code = sorted(file.name for file in folder.glob("*.py")) if _brings_code(folder) else []
    return [folder / name for name in (*TOKENIZER_FILES, *code) if (folder / name).is_file()]


def _brings_code(folder: Path) -> bool:
    """Whether one of its configurations names code (auto_map); other Python files are nobody's concern."""
    paths = [folder / name for name in SETTINGS if (folder / name).is_file()]
    return any("auto_map" in json_object(path) for path in paths)


def _setting(path: Path, ignored: tuple[str, ...]) -> str | None:
    """Hash of a JSON file without the keys that change nothing; None where there is no such file."""
    if not path.is_file():
        return None
    kept = {key: value for key, value in json_object(path).items() if key not in ignored}
    if isinstance(kept.get("chat_template"), str):
        del kept["chat_template"]  # counted by itself, and overridden by chat_template.jinja
    # not through canonical_json: tokens that Unicode holds equal are different tokens, and configs may hold Infinity
    return text_hash(json.dumps(kept, sort_keys=True))


def chat_template(folder: Path) -> str | None:
    """The default chat template of a checkpoint; None where it has none."""
    if (folder / TEMPLATE).is_file():
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    path = folder / "tokenizer_config.json"
    template = json_object(path).get("chat_template") if path.is_file() else None
    return template if isinstance(template, str) else None


def input_ids(point: MergePoint, models: Models, cache: Path | None = None) -> dict[Role, str]:
    """The checkpoint ids of the models that a merge point reads, its base first."""
    return {role: checkpoint_id(models.folder(role), cache) for role in (point.base_role, *point.term_roles)}


def merge_id(
    point: MergePoint,
    inputs: dict[Role, str],
    *,
    threads: int,
    level: str,
    out_dtype: str,
    versions: Mapping[str, str] | None = None,
) -> str:
    """The checkpoint id of a merge, known before its weights are: setting, inputs and what its last bits depend on.

    inputs: `input_ids`. threads: mergekit's --num-threads. level: `kernel_level`. versions: of mergekit and torch,
    None for the installed ones.
    """
    return content_id(
        "c2",
        {
            "merge": asdict(point),
            "inputs": inputs,
            "threads": threads,
            "kernel_level": level,
            "out_dtype": out_dtype,
            **(versions or {"mergekit": mergekit_version(), "torch": importlib.metadata.version("torch")}),
        },
    )


def default_cache() -> Path:
    """Where hashes of weight files are remembered: the user's cache folder, by the XDG rule."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "mergescope" / "weight-hashes.json"


def file_hashes(files: Sequence[Path], cache: Path | None = None, hashers: int = HASHERS) -> dict[Path, str]:
    """sha256 of each file's bytes, at most `hashers` of them at once; remembered in `cache` as `weights_hash` tells."""
    book = _Book(cache or default_cache())
    keys = {file: _key(file) for file in files}
    missing = {key: file for file, key in keys.items() if key not in book.known}
    if missing:
        with ThreadPoolExecutor(min(hashers, len(missing))) as pool:
            book.add(dict(zip(missing, pool.map(file_hash, missing.values()), strict=True)))
    return {file: book.known[key] for file, key in keys.items()}


def _key(file: Path) -> str:
    stat = file.stat()
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"


class _Book:
    """Hashes of files by (device, inode, size, time of change)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: dict[str, str] = {}
        try:
            found: Any = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return  # a missing or damaged cache only costs time
        self.known = found if isinstance(found, dict) else {}

    def add(self, hashes: dict[str, str]) -> None:
        self.known |= hashes
        try:
            write_json(self._path, self.known)
        except (OSError, MergescopeError):
            return  # a read-only home is no reason to stop: the next run hashes again
