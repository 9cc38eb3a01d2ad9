"""Checkpoint folders as merge inputs: what they hold, whether they fit together, and their mapped tensors."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merge.headers import DTYPES, StoredTensor, read_header
from merge.points import Role
from mergescope.ground.errors import CheckpointError

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Models:
    """The three folders of a merge."""

    base: Path
    """The common ancestor."""
    safe: Path
    """model-safe."""
    useful: Path
    """model-useful."""
    trust_remote_code: bool = False
    """Whether code that lies beside their weights may run: `merge.trust_remote_code` of the recipe."""

    def folder(self, role: Role) -> Path:
        """The folder of one role."""
        return {"base": self.base, "safe": self.safe, "useful": self.useful}[role]


def local_folder(model: Path | str, *, may_run_code: bool = False) -> Path:
    """A folder as it is, or the local snapshot of a Hub id (`owner/name` or `owner/name@revision`), fetched once.

    may_run_code: whether code beside the weights is fetched too. Raises CheckpointError where a folder is missing or
    the Hub has no such model.
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
        patterns = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", *(["*.py"] if may_run_code else [])]
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise CheckpointError(
            f"neither a folder nor a Hub model that can be fetched: {_hub_reason(error)}",
            value=model,
            cure="correct the name, or download it and give its folder",
        ) from None


def _hub_reason(error: Exception) -> str:
    """What the Hub said, in words."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        case HFValidationError():
            return "it is no name that the Hub knows of"
        case LocalEntryNotFoundError():
            return "the Hub cannot be reached, and no local copy is whole"
        case GatedRepoError():
            return "its owners ask you to accept their terms on the Hub first"
        case RevisionNotFoundError():
            return "it has no such revision"
        case RepositoryNotFoundError() | EntryNotFoundError():
            return "the Hub has no such model, or none that you may read"
    return " ".join(str(error).split())[:200]


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
    """The safetensors files of a checkpoint, in name order; pickles are refused by name.

    Raises CheckpointError where there are none, or where it is unclear which ones count.
    """
    if not folder.is_dir():
        raise CheckpointError("no such checkpoint folder", where=folder, cure="train it or correct the path")
    single, index = folder / WEIGHTS, folder / INDEX
    if index.is_file():
        files = [folder / name for name in sorted(set(_weight_map(index).values()))]
        if single.is_file() and files != [single]:
            # mergekit reads the index where there is one, transformers the single file
            raise CheckpointError(f"holds {WEIGHTS} and an index of other files", where=folder, cure="remove one")
        return files
    if single.is_file():
        return [single]
    if pickles := sorted(p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth"}):
        raise CheckpointError(
            "only pickled weights, which can run code when loaded, so they are never opened",
            where=folder,
            value=pickles[0],
            cure=f"convert them to {WEIGHTS} in a place you trust",
        )
    raise CheckpointError(f"holds no {WEIGHTS}", where=folder)


def _weight_map(index: Path) -> dict[str, str]:
    """By tensor, the shard that an index promises it in; every shard is there, in the index's own folder."""
    places = json_object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError("no weight_map in the index", where=index)
    for name in places.values():
        if not isinstance(name, str) or Path(name).name != name or not (index.parent / name).is_file():
            raise CheckpointError("the index names a shard that is not there", where=index, value=name)
    return places


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """Every tensor of a checkpoint by name, from the headers alone.

    Raises CheckpointError for a file that is truncated or is not safetensors, and where shards and index disagree.
    """
    found: dict[str, StoredTensor] = {}
    for file in weight_files(folder):
        for name, tensor in read_header(file).items():
            if name in found:
                raise CheckpointError(f"tensor {name} is in {found[name].file.name} as well", where=file)
            found[name] = tensor
    if (folder / INDEX).is_file():
        _check_index(folder / INDEX, found)
    return found


def _check_index(index: Path, found: dict[str, StoredTensor]) -> None:
    places = _weight_map(index)
    for name in sorted(set(places) | set(found)):
        if name not in found:
            raise CheckpointError(f"tensor {name} is in the index and in no shard", where=index, cure="copy it again")
        if places.get(name) != found[name].file.name:
            what = f"tensor {name} is in {found[name].file.name}, the index says {places.get(name, 'nothing of it')}"
            raise CheckpointError(what, where=index, cure="copy it again")


def stored_dtype(folder: Path) -> str:
    """torch's name of the dtype that most bytes of the checkpoint are stored in."""
    sizes: Counter[str] = Counter()
    for tensor in stored_tensors(folder).values():
        if tensor.dtype in DTYPES:
            sizes[tensor.dtype] += tensor.nbytes
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
    configs = {role: checked_config(models.folder(role), may_run_code=models.trust_remote_code) for role in roles}
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


def checked_config(folder: Path, *, may_run_code: bool = False) -> dict[str, Any]:
    """A checkpoint's config.json, where it describes weights that can be merged.

    Raises CheckpointError where there is none, where it wants to run code and may not, and where it is quantised.
    """
    weight_files(folder)
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError("holds no config.json", where=folder)
    config = json_object(path)
    if "auto_map" in config and not may_run_code:
        raise CheckpointError(
            "wants to run code of its own (auto_map)",
            where=path,
            cure="read that code, and set `merge.trust_remote_code: true` in the recipe if you trust it",
        )
    if quantised := config.get("quantization_config"):
        method = quantised.get("quant_method", "?") if isinstance(quantised, dict) else "?"
        raise CheckpointError(f"its weights are quantised ({method})", where=path, cure="merge the unquantised model")
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
    for stored in (*ours.items(), *theirs.items()):
        _check_stored(*stored)
    for name in sorted(set(ours) & set(theirs)):
        if ours[name].shape != theirs[name].shape:
            raise CheckpointError(
                f"tensor {name} has shape {list(theirs[name].shape)}, but {list(ours[name].shape)} in {base}",
                where=tuned,
                cure="was the vocabulary resized? Tune again from the same base without resizing",
            )


def _check_stored(name: str, tensor: StoredTensor) -> None:
    """Refuse weights that are no floating-point numbers, and empty ones; counters and buffers may be integers."""
    if tensor.numel == 0:
        cure = "gather the weights before saving (DeepSpeed ZeRO-3 leaves them empty else)"
        raise CheckpointError(f"tensor {name} is empty (shape {list(tensor.shape)})", where=tensor.file, cure=cure)
    if tensor.dtype not in DTYPES and (name.endswith("weight") or tensor.dtype[:2] in ("F8", "F6", "F4")):
        raise CheckpointError(
            f"tensor {name} is quantised, or no weight ({tensor.dtype})",
            where=tensor.file,
            cure="merge the unquantised model",
        )


def json_object(path: Path) -> dict[str, Any]:
    """The JSON object in a checkpoint's file; raises CheckpointError where it is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"malformed JSON: {error}", where=path) from None
    if not isinstance(found, dict):
        raise CheckpointError("a list or a single value where a JSON object belongs", where=path)
    return found


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
