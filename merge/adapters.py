"""A model given as base + adapter: checked, and merged once into a checkpoint folder like any other.

mergekit would merge the pair itself, but keeps the result in a cache that is keyed by path and trusts half-written
folders. So every part of Mergescope after this one, and the exported config too, sees a plain folder.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.child import child_environment
from merge.headers import StoredTensor, read_header
from merge.identity import (
    TEMPLATE,
    TEXT_FILES,
    TOKENIZER_FILES,
    all_known,
    chat_template,
    file_hashes,
    known_weights_hash,
    text_side,
    weights_hash,
    whole_files,
)
from merge.sources import checked_config, json_object, stored_dtype, stored_tensors, weight_files
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.files import fresh_folder, read_manifest, write_manifest
from mergescope.ground.ids import full_hash
from mergescope.ground.progress import Reporter, Task

FORMAT = 1
"""Version of what is written."""
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
OF_THE_BASE = ("config.json", "generation_config.json")
PACKAGES = ("peft", "torch", "transformers")
"""What the merged weights depend on besides base and adapter."""
PREFIX = "base_model.model."
"""What peft puts before the names of the base's modules."""
LEVEL = "default"
PINNED = {"MKL_CBWR": "COMPATIBLE"}
"""Kernels that every x86 CPU has, so that the same pair gives the same bits elsewhere."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A model that a recipe gives as `base+adapter`."""

    base: Path | str
    """Folder or Hub id."""
    adapter: Path | str
    """Folder or Hub id of a peft adapter."""


@dataclass(frozen=True, slots=True)
class AdapterInput:
    """How one input of a merge was made from base and adapter: what a bundle needs to make it again."""

    base: str
    """Hub id with commit, or the folder of an exported config (`./inputs/base`)."""
    adapter: str
    """Hub id with commit, or `./inputs/<role>-adapter`."""
    base_weights_sha256: str
    files: Mapping[str, str]
    """sha256 of each of the adapter's files that count."""
    dtype: str
    """torch's name of the dtype that most bytes of the result have: the base's own."""
    versions: Mapping[str, str]
    """Of peft, torch and transformers."""
    weights_sha256: str
    """What must come out, as `merge.identity.weights_hash` counts."""

    def rebuild_lines(self, role: str) -> list[str]:
        """Shell lines that make `inputs/<role>` again, or fail; they call the script's `fail` with what is missing."""
        parts = [(self.base, "config.json", self.base_weights_sha256), (self.adapter, CONFIG, self.files[WEIGHTS])]
        pins = " ".join(f"{name}=={version.partition('+')[0]}" for name, version in self.versions.items())
        return [
            *(
                f'[ -e {place}/{file} ] || fail "{place} is missing: link it there (sha256 of its weights: {digest})"'
                for place, file, digest in parts
                if place.startswith("./")
            ),
            f"# merges an adapter into its base; made with {pins}",
            self.adapt_command(f"./inputs/{role}"),
        ]

    def adapt_command(self, out: str) -> str:
        """The shell line that merges the pair again, into the folder `out`, or fails."""
        return shlex.join(["mergescope", "adapt", self.base, self.adapter, out, "--sha256", self.weights_sha256])


def adapted(inputs: Path, base: Path, adapter: Path, reporter: Reporter | None = None) -> Path:
    """The checkpoint folder of base + adapter in the folder `inputs`, made now unless it is there and whole.

    Raises CheckpointError for a pair that cannot be merged.
    """
    check_adapter(base, adapter)
    stage = _stage(base, adapter)
    folder = inputs / full_hash(stage)[:16]
    if not _is_whole(folder, full_hash(stage), weights_hash):
        adapt(base, adapter, folder, reporter)
    return folder


def adapted_already(inputs: Path, base: Path, adapter: Path) -> Path | None:
    """The folder that `adapted` gives if it is there and whole; reads no weights and writes nothing.

    None also where a file of base, adapter or result has not been hashed since it changed. Raises CheckpointError
    for a pair that cannot be merged, as far as headers tell.
    """
    check_adapter(base, adapter)
    if not all_known([*weight_files(base), *whole_files(base), *_files(adapter)]):
        return None
    stage = full_hash(_stage(base, adapter))
    folder = inputs / stage[:16]
    return folder if _is_whole(folder, stage, known_weights_hash) else None


def adapt(base: Path, adapter: Path, out: Path, reporter: Reporter | None = None) -> dict[str, Any]:
    """Write the checkpoint of base + adapter to the folder `out`, manifest last; returns the manifest.

    Weights are merged by peft in float32 and stored in the dtype that the base stores each tensor in; a tensor that
    the adapter leaves alone keeps the base's bytes. Tokenizer and chat template are the adapter's where it ships
    them, else the base's; configuration and generation settings are the base's. Needs 4 bytes of main memory for
    each parameter. Raises CheckpointError for a pair that cannot be merged.
    """
    check_adapter(base, adapter)
    stage = _stage(base, adapter)
    needed = sum(tensor.nbytes for tensor in stored_tensors(base).values())
    with fresh_folder(out, needed) as part:
        _run(base, adapter, part, reporter or Reporter())
        _copy_text_side(base, adapter, part)
        content = {**stage, "weights_sha256": weights_hash(part)}
        write_manifest(part, stage_hash=full_hash(stage), content=content)
    return content


def check_adapter(base: Path, adapter: Path) -> None:
    """Refuse what is no adapter, or none for this base, from headers alone; peft refuses the rest when it merges."""
    if not (adapter / CONFIG).is_file():
        cure = "name the folder that peft's save_pretrained wrote"
        raise CheckpointError(f"no adapter: holds no {CONFIG}", where=adapter, cure=cure)
    settings = json_object(adapter / CONFIG)
    if not isinstance(settings.get("peft_type"), str):
        raise CheckpointError("no adapter: it names no peft_type", where=adapter / CONFIG)
    if not (adapter / WEIGHTS).is_file():
        if pickles := sorted(p.name for p in adapter.glob("*.bin")):
            raise CheckpointError(
                "only pickled weights, which can run code when loaded, so they are never opened",
                where=adapter,
                value=pickles[0],
                cure=f"convert them to {WEIGHTS} in a place you trust",
            )
        raise CheckpointError(f"no adapter: holds no {WEIGHTS}", where=adapter)
    if "auto_map" in checked_config(base, may_run_code=True):
        cure = "merge the adapter with peft yourself, and name the merged folder"
        raise CheckpointError(
            "adapters of models that run code of their own are not merged here", where=base, cure=cure
        )
    _check_shapes(read_header(adapter / WEIGHTS), stored_tensors(base), base, bool(settings.get("fan_in_fan_out")))


def _check_shapes(
    tensors: Mapping[str, StoredTensor], of_base: Mapping[str, StoredTensor], base: Path, transposed: bool
) -> None:
    """Compare every LoRA factor and every whole tensor with what the base stores under that name."""
    for name, tensor in tensors.items():
        plain = name.removeprefix(PREFIX)
        factor = re.fullmatch(r"(.+)\.lora_(embedding_)?([AB])(\.weight)?", plain)
        target = of_base.get(f"{factor[1]}.weight" if factor else plain)
        if target is None or len(tensor.shape) != 2 or len(target.shape) != 2:
            continue
        if factor is None:
            fits = tensor.shape == target.shape
        else:
            # A is (rank, in) and B (out, rank); of an embedding (rows, width), A is (rank, rows) and B (width, rank)
            side = int((factor[3] == "A") != (transposed or factor[2] is not None))
            fits = tensor.shape[factor[3] == "A"] == target.shape[side]
        if not fits:
            _refuse_shape(name, tensor, target, base, resized=factor is None)


def _refuse_shape(name: str, tensor: StoredTensor, target: StoredTensor, base: Path, *, resized: bool) -> None:
    cure = (
        "it resizes the vocabulary: tune again without new tokens" if resized else "name the base that it was tuned on"
    )
    raise CheckpointError(
        f"tensor {name} has shape {list(tensor.shape)}, which does not fit {list(target.shape)} in {base}",
        where=tensor.file.parent,
        cure=cure,
    )


def _files(adapter: Path) -> list[Path]:
    """The adapter's files that count."""
    return [adapter / name for name in (CONFIG, WEIGHTS, *TEXT_FILES, TEMPLATE) if (adapter / name).is_file()]


def _stage(base: Path, adapter: Path) -> dict[str, Any]:
    files = file_hashes(_files(adapter))
    return {
        "format": FORMAT,
        "base_weights_sha256": weights_hash(base),
        "base_text_side": text_side(base),
        "adapter": {file.name: digest for file, digest in files.items()},
        "dtype": stored_dtype(base),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _is_whole(folder: Path, stage: str, hashed: Callable[[Path], str | None]) -> bool:
    """Whether the folder was finished from these very inputs and its weights are still those that were written."""
    manifest = read_manifest(folder)
    if manifest is None or manifest["stage_hash"] != stage:
        return False
    try:
        return hashed(folder) == str(manifest["weights_sha256"])
    except CheckpointError:
        return False  # weights were taken away: they are made again


def _copy_text_side(base: Path, adapter: Path, out: Path) -> None:
    donor = adapter if any((adapter / name).is_file() for name in TOKENIZER_FILES) else base
    sources = [base / name for name in OF_THE_BASE] + [donor / name for name in TEXT_FILES]
    for source in sources:
        if source.is_file():
            shutil.copyfile(source, out / source.name)
    template = chat_template(adapter) or chat_template(base)
    if template is not None:
        (out / TEMPLATE).write_text(template, encoding="utf-8")


def _run(base: Path, adapter: Path, out: Path, reporter: Reporter) -> None:
    """Merge in a process of its own: its kernels are pinned at its start, and its memory is given back at its end."""
    environment = {**child_environment(LEVEL), **PINNED}
    command = [sys.executable, "-m", "merge.adapt", *(str(path.resolve()) for path in (base, adapter, out))]
    total = len(stored_tensors(base))
    with (
        tempfile.TemporaryDirectory() as room,  # python -m imports from where it runs: not from the user's folder
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(
            command, cwd=room, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
        reporter.task(f"merging {base.name} + {adapter.name}", total, "tensors") as task,
    ):
        try:
            _follow(process, task, adapter)
        except BaseException:
            process.kill()
            raise
        if (code := process.wait()) < 0:
            cure = f"if memory ran out: it takes about {_memory_gb(base):.1f} GB"
            raise MergescopeError(f"merging was ended from outside by {signal.Signals(-code).name}", cure=cure)
        if code != 0:
            errors.seek(0)
            raise RuntimeError(f"merging an adapter failed with exit code {code}:\n{errors.read()[-4000:]}")


def _memory_gb(base: Path) -> float:
    return sum(tensor.numel for tensor in stored_tensors(base).values()) * 4.4 / 1e9


def _follow(process: subprocess.Popen[str], task: Task, adapter: Path) -> None:
    """Turn the process's lines into progress. Raises CheckpointError and OSError for what they tell of."""
    if process.stdout is None:
        raise ValueError("the process's output is not piped")
    for line in process.stdout:
        message = json.loads(line)
        if "refused" in message:
            raise CheckpointError(message["refused"], where=adapter)
        if "errno" in message:
            raise OSError(message["errno"], os.strerror(message["errno"]))
        task.advance(message["done"], message["note"])
