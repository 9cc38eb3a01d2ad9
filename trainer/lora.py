"""Low-rank adapters (Hu et al. 2021, arXiv 2106.09685) through peft, and the 4-bit base of QLoRA (arXiv 2305.14314)."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from merge.adapters import adapt
from merge.sources import checked_config
from mergescope.ground.errors import CheckpointError, MergescopeError
from mergescope.ground.files import MANIFEST
from mergescope.ground.progress import Reporter
from trainer.config import LoraSection

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def check_lora(section: LoraSection, base: Path) -> None:
    """Refuse before any work what could not be trained here, or not be merged into `base` afterwards.

    Raises MergescopeError where a package or a GPU is missing, CheckpointError for a base that runs code of its own.
    """
    if "auto_map" in checked_config(base, may_run_code=True):
        cure = "leave train.*.lora out"
        raise CheckpointError("adapters of models that run code of their own are not merged", where=base, cure=cure)
    if not section.four_bit:
        return
    if importlib.util.find_spec("bitsandbytes") is None:
        cure = 'install it: pip install "mergescope[qlora]", or set four_bit: false'
        raise MergescopeError("bitsandbytes is not installed", where="train.*.lora.four_bit", cure=cure)
    import torch

    if not torch.cuda.is_available():
        cure = "train on a machine with one, or set four_bit: false"
        raise MergescopeError("there is no CUDA GPU here", where="train.*.lora.four_bit", cure=cure)


def lora_config(section: LoraSection) -> Any:
    """peft's LoraConfig: factors beside all linear layers but the output head, without dropout."""
    from peft import LoraConfig

    return LoraConfig(r=section.rank, lora_alpha=section.alpha, target_modules="all-linear", task_type="CAUSAL_LM")


def four_bits() -> Any:
    """transformers' BitsAndBytesConfig: NF4 with doubly quantised scales, computing in bfloat16, as in QLoRA."""
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def merge_adapter(base: Path, weights: Path, out: Path, work: Path, reporter: Reporter) -> None:
    """Write base + adapter into the folder `out` as a checkpoint of its own, just as `base+adapter` in a recipe is.

    weights: folder with the adapter's files. work: a folder on the same disk for what is half done.
    """
    adapter, merged = work / "adapter", work / "merged"
    adapter.mkdir(exist_ok=True)
    for name in ADAPTER_FILES:
        (adapter / name).write_bytes((weights / name).read_bytes())
    adapt(base, adapter, merged, reporter)
    (merged / MANIFEST).unlink()  # the stage writes its own
    out.mkdir(parents=True, exist_ok=True)
    for file in merged.iterdir():
        file.replace(out / file.name)
