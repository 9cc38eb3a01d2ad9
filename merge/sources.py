"""Checkpoint folders as merge inputs: what they hold, whether they fit together, and their mapped tensors."""

from __future__ import annotations

import json
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merge.points import Role
from mergescope.ground.errors import CheckpointError

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
DTYPES = {"F64": "float64", "F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""safetensors' names of the dtypes that merge, and torch's."""
ITEM_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}


@dataclass(frozen=True, slots=True)
class Models:
    """The three folders of a merge."""

    base: Path
    """The common ancestor."""
    safe: Path
    """model-safe."""
    useful: Path
    """model-useful."""

    def folder(self, role: Role) -> Path:
        """The folder of one role."""
        return {"base": self.base, "safe": self.safe, "useful": self.useful}[role]


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor as its file's header describes it."""

    dtype: str
    """safetensors' name, such as BF16."""
    shape: tuple[int, ...]
    file: Path
    """The shard that holds it."""

    @property
    def numel(self) -> int:
        """Number of elements; 1 for a scalar."""
        count = 1
        for size in self.shape:
            count *= size
        return count


def local_folder(model: Path | str) -> Path:
    """A folder as it is, or the local snapshot of a Hub id (`owner/name` or `owner/name@revision`), fetched once.

    Raises CheckpointError where a folder is missing or the Hub has no such model.
    """
    if isinstance(model, Path):
        folder = model
        if not folder.is_dir():
            raise CheckpointError("no such checkpoint folder", where=folder, cure="train it or correct the path")
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name, _, revision = model.partition("@")
    try:
        patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt"]
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise CheckpointError(
            f"neither a folder nor a Hub model that can be fetched ({type(error).__name__})",
            value=model,
            cure="correct the name, or download it and give its folder",
        ) from None


def fetched_folder(name: str) -> Path | None:
    """The local snapshot of a Hub id, nothing fetched; None where there is none."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        return None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, in name order; pickles are refused by name."""
    if not folder.is_dir():
        raise CheckpointError("no such checkpoint folder", where=folder, cure="train it or correct the path")
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        return _sharded(folder)
    if pickles := sorted(p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth"}):
        raise CheckpointError(
            "only pickled weights, which can run code when loaded, so they are never opened",
            where=folder,
            value=pickles[0],
            cure=f"convert them to {WEIGHTS} in a place you trust",
        )
    raise CheckpointError(f"holds no {WEIGHTS}", where=folder)


def _sharded(folder: Path) -> list[Path]:
    names = sorted(set(_json(folder / INDEX)["weight_map"].values()))
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise CheckpointError("the index names a shard that is not there", where=folder / INDEX, value=name)
    return [folder / name for name in names]


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of a checkpoint by name, from the headers alone.

    Raises CheckpointError for a file that is truncated or is not safetensors.
    """
    found: dict[str, StoredTensor] = {}
    for file in weight_files(folder):
        for name, entry in _header(file).items():
            found[name] = StoredTensor(entry["dtype"], tuple(entry["shape"]), file)
    return found


def _header(file: Path) -> dict[str, Any]:
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if 8 + length > size:
            raise CheckpointError("truncated, or no safetensors file", where=file, value=f"{size} bytes")
        try:
            header = json.loads(stream.read(length))
        except ValueError:
            raise CheckpointError("the header is not readable: no safetensors file", where=file) from None
    header.pop("__metadata__", None)
    end = 8 + length + max((entry["data_offsets"][1] for entry in header.values()), default=0)
    if end != size:
        raise CheckpointError(
            f"truncated: its header speaks of {end} bytes", where=file, value=f"{size} bytes", cure="copy it again"
        )
    return dict(header)


def stored_dtype(folder: Path) -> str:
    """torch's name of the dtype that most bytes of the checkpoint are stored in."""
    sizes: Counter[str] = Counter()
    for tensor in stored_tensors(folder).values():
        if tensor.dtype in DTYPES:
            sizes[tensor.dtype] += tensor.numel * ITEM_BYTES[tensor.dtype]
    if not sizes:
        raise CheckpointError("holds no floating-point tensors", where=folder)
    return DTYPES[sizes.most_common(1)[0][0]]


SAME = ("architectures", "model_type")
SAME_IF_GIVEN = (
    "hidden_act",
    "head_dim",
    "num_attention_heads",
    "num_key_value_heads",
    "rms_norm_eps",
    "layer_norm_eps",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "sliding_window",
    "tie_word_embeddings",
)
"""What changes a model's function and stands in no tensor; older configs leave defaults out."""


def check_models(models: Models, roles: tuple[Role, ...]) -> None:
    """Refuse models that do not fit together, naming the first tensor that differs and both shapes.

    `roles`: the base of the merge first, then its terms.
    """
    base = models.folder(roles[0])
    configs = {role: _config(models.folder(role)) for role in roles}
    for role in roles[1:]:
        folder = models.folder(role)
        for key in (*SAME, *(key for key in SAME_IF_GIVEN if key in configs[role] and key in configs[roles[0]])):
            if configs[role].get(key) != configs[roles[0]].get(key):
                raise CheckpointError(
                    f"{key} is {configs[role].get(key)}, but {configs[roles[0]].get(key)} in {base}",
                    where=folder / "config.json",
                    cure="merge fine-tunes of one base only",
                )
        _check_tensors(base, folder, tied=bool(configs[roles[0]].get("tie_word_embeddings")))


def _config(folder: Path) -> dict[str, Any]:
    weight_files(folder)
    if not (folder / "config.json").is_file():
        raise CheckpointError("holds no config.json", where=folder)
    config: dict[str, Any] = _json(folder / "config.json")
    if "auto_map" in config:
        raise CheckpointError("wants to run code of its own (auto_map)", where=folder / "config.json")
    return config


def _check_tensors(base: Path, tuned: Path, *, tied: bool) -> None:
    ours, theirs = stored_tensors(base), stored_tensors(tuned)
    # A tied head may be stored or left out: mergekit reads the embedding in its place.
    optional = {"lm_head.weight"} if tied else set()
    if odd := sorted((set(ours) ^ set(theirs)) - optional):
        here, there = (base, tuned) if odd[0] in ours else (tuned, base)
        raise CheckpointError(
            f"tensor {odd[0]} is in {here} only", where=there, cure="merge fine-tunes of one base only"
        )
    for name in sorted(set(ours) & set(theirs)):
        if ours[name].shape != theirs[name].shape:
            raise CheckpointError(
                f"tensor {name} has shape {list(theirs[name].shape)}, but {list(ours[name].shape)} in {base}",
                where=tuned,
                cure="was the vocabulary resized? Tune again from the same base without resizing",
            )
        for stored in (ours[name], theirs[name]):
            if stored.dtype not in DTYPES and stored.dtype.startswith("F8"):
                raise CheckpointError(f"tensor {name} is quantised ({stored.dtype})", where=stored.file)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"malformed JSON: {error}", where=path) from None


class MappedCheckpoint:
    """The tensors of a checkpoint, mapped from their files: nothing is read before it is used."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        self.folder = folder
        self._stored = stored_tensors(folder)
        self._files = {file: safe_open(file, framework="pt") for file in weight_files(folder)}

    def tensor(self, name: str) -> torch.Tensor:
        """One tensor in its stored shape and dtype, on the CPU; KeyError where there is none."""
        loaded: torch.Tensor = self._files[self._stored[name].file].get_tensor(name)  # type: ignore[no-untyped-call]
        return loaded

    @property
    def dtype(self) -> str:
        """torch's name of the dtype that most bytes are stored in."""
        return stored_dtype(self.folder)

    @property
    def names(self) -> list[str]:
        """Names of all stored tensors."""
        return list(self._stored)
