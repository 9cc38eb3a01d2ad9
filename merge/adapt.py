"""Merges a peft adapter into its base: `python -m merge.adapt BASE ADAPTER OUT`, in a process of its own.

peft does the arithmetic, in float32 and on one thread, so that sums have one order. Only weights are written here.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from transformers import AutoModelForCausalLM

from merge.adapters import PREFIX
from merge.materialize import write_shards
from merge.sources import MappedCheckpoint

PEFT_COMPLAINS = (ValueError, KeyError, TypeError, RuntimeError, NotImplementedError, AttributeError, ImportError)
"""What peft raises over an adapter that it cannot use."""


class RefusedError(Exception):
    """A pair that cannot be merged; the parent process shows it to the user."""


def merge_into(base: Path, adapter: Path, out: Path) -> None:
    """Write the merged weights to `out`. Raises RefusedError for a pair that cannot be merged."""
    source = MappedCheckpoint(base)
    settings = _settings(adapter)
    _tell(0, "reading the base")
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, local_files_only=True
    )
    tied = model.config.get_text_config().tie_word_embeddings
    _tell(0, "merging")
    with _one_thread():
        model, tuned = _merged(model, adapter, settings)
    if tied and not model.config.get_text_config().tie_word_embeddings:
        raise RefusedError("it changes the output head apart from the embedding, and the base ties the two")
    _refuse_unstored(model, tuned, set(source.names))
    write_shards(_tensors(source, model.state_dict()), out)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _settings(adapter: Path) -> PeftConfig:
    try:
        settings = PeftConfig.from_pretrained(str(adapter))
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"this peft does not know such an adapter: {_line(error)}") from None
    if settings.is_prompt_learning:
        raise RefusedError(f"a {settings.peft_type.value} adapter changes prompts and no weights: it cannot be merged")
    settings.inference_mode = True
    return settings


def _merged(model: Any, adapter: Path, settings: PeftConfig) -> tuple[Any, set[str]]:
    """The model with the adapter merged in, and the names of the modules that it tunes."""
    kind = settings.peft_type.value
    try:
        wrapped = get_peft_model(model, settings)
        names = getattr(model, "_checkpoint_conversion_mapping", {})
        loaded = wrapped.load_adapter(str(adapter), "default", torch_device="cpu", key_mapping=names)
    except PEFT_COMPLAINS as error:
        raise RefusedError(f"peft cannot apply this {kind} adapter: {_line(error)}") from None
    # peft would merge what fits and say nothing of the rest
    if loaded.unexpected_keys:
        raise RefusedError(f"it tunes {loaded.unexpected_keys[0]}, which the base does not have")
    if loaded.missing_keys:
        raise RefusedError(f"it lacks {loaded.missing_keys[0]}, which its settings promise")
    tuned = {
        name.removeprefix(PREFIX)
        for name, module in wrapped.named_modules()
        if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper))
    }
    try:
        return wrapped.merge_and_unload(safe_merge=True), tuned
    except PEFT_COMPLAINS as error:
        raise RefusedError(f"peft cannot merge this {kind} adapter: {_line(error)}") from None


def _refuse_unstored(model: Any, tuned: set[str], stored: set[str]) -> None:
    """Refuse an adapter that tunes tensors which the base stores under other names: they would be lost."""
    state = model.state_dict()
    known = {state[name].data_ptr() for name in stored & set(state)}
    for name, tensor in state.items():
        if name not in stored and tensor.data_ptr() not in known and name.rpartition(".")[0] in tuned:
            raise RefusedError(
                f"it tunes {name}, which the base stores under another name; merge it with peft yourself"
            )


def _tensors(source: MappedCheckpoint, state: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    changed = 0
    for name in source.names:
        before, after = source.tensor(name), state.get(name)
        if after is None or torch.equal(after, before.to(after.dtype)):
            yield name, before
        else:
            changed += 1
            yield name, after.to(before.dtype, copy=True)
        _tell(1, "writing")
    if not changed:
        raise RefusedError("it changes no tensor of the base: is it trained?")


def _tell(done: int, note: str) -> None:
    print(json.dumps({"done": done, "note": note}), flush=True)


def _line(error: Exception) -> str:
    """The message on one line: peft puts the tensor and its shapes below the first."""
    return " ".join(str(error).split())[:300]


def main(base: str, adapter: str, out: str) -> int:
    """Exit code 0; or 1 and a JSON line on what a user can mend: a refusal, or a disk that is full."""
    try:
        merge_into(Path(base), Path(adapter), Path(out))
    except RefusedError as refusal:
        print(json.dumps({"refused": str(refusal)}), flush=True)
        return 1
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        print(json.dumps({"errno": error.errno}), flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
