"""What all tuning of a base has in common, whatever its loss: the model, the arguments, checkpoints, the curve."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.sources import local_folder
from mergescope.ground.errors import RecipeError
from mergescope.ground.progress import Reporter, Task
from trainer.checkpoints import SEAL, STATE, best_of, newest, state_of
from trainer.config import DualSection, TuningSection
from trainer.curve import of_held_out, of_steps, points_of, write_curve
from trainer.following import follow
from trainer.lora import four_bits, lora_config, merge_adapter
from trainer.pretrain import THREADS
from trainer.steps import batch_shape, steps_of

WEIGHTS = "weights"
"""Folder in the work folder of what is trained, where it is not the checkpoint itself."""
RESUME_SUFFIXES = (".pt", ".pth", ".bin")
"""Of the files that only a resumed training reads."""
RANDOM = "rng_state.pth"
"""Random states of the one process that wrote a checkpoint; of several, each has a file of its own."""
NOT_OF_MODELS = (SEAL, STATE, "README.md", "latest", "zero_to_fp32.py")
"""Files of a checkpoint that are none of the model's, the last two DeepSpeed's."""
NO_METRICS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Setup:
    """What a method's trainer is built from."""

    model: Any
    """transformers' causal model; float32, unless an adapter is trained beside it."""
    tokenizer: Any
    """The base's, with its chat template."""
    arguments: Mapping[str, Any]
    """Keywords of transformers' TrainingArguments, and so of every config derived from them."""
    adapter: Any
    """peft's LoraConfig where an adapter is to be trained; None: all weights are."""

    def tuned(self) -> Any:
        """The model with its adapter, for trainers that do not put it on by themselves."""
        from peft import get_peft_model

        return self.model if self.adapter is None else get_peft_model(self.model, self.adapter)


def load_tokenizer(base: Path | str) -> Any:
    """The base's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


def tune(
    section: TuningSection,
    base: Path | str,
    out: Path,
    seed: int,
    reporter: Reporter,
    *,
    name: str,
    triples: int,
    build: Callable[[Setup], Any],
    metrics: Mapping[str, str] = NO_METRICS,
    work: Path | None = None,
) -> dict[str, Any]:
    """Train what `build` makes (a transformers Trainer) and write a loadable checkpoint into `out`.

    name: of the method, beside the progress bar. triples: how many are trained on. metrics: values of the trainer's log
    that belong to the curve, and their names there. work: where checkpoints and the curve are kept while it runs, and
    what a killed training goes on from; None: nothing outlives a kill.

    Returns what the manifest should hold: `steps` with loss and metrics of every optimizer step; `held_out` with step
    and loss of every look, where the recipe asks for early stop; `resumed` where it went on from a checkpoint and the
    weights may differ from those of an undisturbed run. Raises RecipeError for a batch that the devices cannot share,
    MergescopeError where the loss is no number any more.
    """
    import torch

    # transformers asks accelerate's variable where it computes in float32, and the recipe alone says how it computes
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if in_bfloat16(section) else "no"
    torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    with _place(work) as place:
        checkpoint = newest(place)
        may_differ = checkpoint is not None and _may_differ(checkpoint)
        history = state_of(checkpoint)["log_history"] if checkpoint else []
        if is_main():
            write_curve(place, points_of(history, metrics))
        if checkpoint is not None and _is_over(section, checkpoint):
            weights = best_of(checkpoint)
        else:
            weights = place / WEIGHTS
            with reporter.task(name, steps_of(section, triples), "steps") as task:
                history = _train(section, base, place, seed, task, build, metrics)
        if is_main():
            _write(section, local_folder(base), weights, out, place, reporter)
    points = points_of(history, metrics)
    content: dict[str, Any] = {"steps": of_steps(points)}
    if section.early_stop is not None:
        content["held_out"] = of_held_out(points)
    if may_differ:
        content["resumed"] = True
    return content


def devices() -> int:
    """Devices that share a batch: the processes of a launcher, or one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def require_one_gpu() -> None:
    """Refuse several GPUs for one process: transformers would spread each batch over them, which no loss here expects.

    Raises RecipeError.
    """
    import torch

    if (count := torch.cuda.device_count()) > 1:
        raise RecipeError(
            "one process trains, and there are several GPUs",
            where="train.accelerate",
            value=count,
            cure="name a file of `accelerate config`, or let CUDA_VISIBLE_DEVICES name one GPU",
        )


def is_main() -> bool:
    """Whether this process writes files: the first of a launcher's, or the only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def _place(work: Path | None) -> Iterator[Path]:
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        yield work
        return
    with tempfile.TemporaryDirectory(prefix="tuning-") as scratch:
        yield Path(scratch)


def _train(
    section: TuningSection,
    base: Path | str,
    place: Path,
    seed: int,
    task: Task,
    build: Callable[[Setup], Any],
    metrics: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Train to the end, from the newest checkpoint on; returns the trainer's log."""
    checkpoint = newest(place)
    adapter = None if section.lora is None else lora_config(section.lora)
    trainer = build(Setup(load_model(section, base), load_tokenizer(base), _arguments(section, place, seed), adapter))
    if checkpoint is not None:
        task.found(state_of(checkpoint)["global_step"])
    follow(trainer, task, place, metrics, section.early_stop)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if getattr(trainer, "is_fsdp_enabled", False):
        trainer.accelerator.state.fsdp_plugin.set_state_dict_type("FULL_STATE_DICT")
    trainer.save_model(str(place / WEIGHTS))
    log: list[dict[str, Any]] = trainer.state.log_history
    return log


def load_model(section: TuningSection, base: Path | str, *, spread: bool = False) -> Any:
    """transformers' causal model as a training begins with it. spread: over all GPUs, to be asked only."""
    import torch
    from transformers import AutoModelForCausalLM

    place = {"device_map": "auto"} if spread and torch.cuda.is_available() else {}
    if section.lora is not None and section.lora.four_bit:
        return AutoModelForCausalLM.from_pretrained(
            base, quantization_config=four_bits(), dtype=torch.bfloat16, **place
        )
    # Trained weights stay in float32, also when bfloat16 computes: at a rate of 1e-6 an update is less than half a unit
    # in the last place of a bfloat16 weight and would round away. Frozen ones need no more than what computes.
    frozen = section.lora is not None and in_bfloat16(section)
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16 if frozen else torch.float32, **place)


def numerics(section: TuningSection) -> str:
    """What computes the log-probabilities of the model as a training begins with it, in a word."""
    if section.lora is not None and section.lora.four_bit:
        body = "nf4"
    elif in_bfloat16(section):
        body = "bfloat16" if section.lora is not None else "mixed"
    else:
        return "float32"
    return f"{body}-float32-head" if isinstance(section, DualSection) else body


def in_bfloat16(section: TuningSection) -> bool:
    """Whether it computes in bfloat16 here."""
    import torch

    return section.dtype == "bfloat16" and torch.cuda.is_available()


def _arguments(section: TuningSection, place: Path, seed: int) -> dict[str, Any]:
    import torch

    micro, accumulated = batch_shape(section, devices())
    return {
        "output_dir": str(place),
        "max_steps": section.steps or -1,
        "num_train_epochs": section.epochs or 1,
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": accumulated,
        "learning_rate": section.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "gradient_checkpointing": section.gradient_checkpointing,
        "bf16": in_bfloat16(section),
        "fp16": False,
        "use_cpu": devices() > 1 and not torch.cuda.is_available(),
        "seed": seed,
        "data_seed": seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": section.save_every,
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": torch.cuda.is_available(),
        **_early_stop(section),
    }


def _early_stop(section: TuningSection) -> dict[str, Any]:
    if section.early_stop is None:
        return {}
    return {
        "eval_strategy": "steps",
        "eval_steps": section.early_stop.every,
        "save_steps": section.early_stop.every,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "greater_is_better": False,
        "restore_callback_states_from_checkpoint": True,
    }


def _may_differ(checkpoint: Path) -> bool:
    """Whether what goes on from here may end with other bits: sums over GPUs and processes have no fixed order."""
    import torch

    of_one = (checkpoint / RANDOM).is_file()
    return torch.cuda.is_available() or devices() > 1 or not of_one


def _is_over(section: TuningSection, checkpoint: Path) -> bool:
    """Whether nothing is left to train after a checkpoint that holds whole weights, and not a process's shard."""
    state = state_of(checkpoint)
    whole = any(best_of(checkpoint).glob("*.safetensors"))
    losses = [entry["eval_loss"] for entry in state["log_history"] if "eval_loss" in entry]
    stopped = section.early_stop is not None and bool(losses)
    if stopped and section.early_stop is not None:
        stopped = len(losses) - 1 - losses.index(min(losses)) >= section.early_stop.patience
    return whole and (state["global_step"] >= state["max_steps"] or stopped)


def _write(section: TuningSection, base: Path, weights: Path, out: Path, place: Path, reporter: Reporter) -> None:
    """A plain checkpoint folder: safetensors, configuration, tokenizer."""
    if section.lora is not None:
        merge_adapter(base, weights, out, place, reporter)
        return
    out.mkdir(parents=True, exist_ok=True)
    for file in weights.iterdir():
        if file.is_file() and file.suffix not in RESUME_SUFFIXES and file.name not in NOT_OF_MODELS:
            shutil.copyfile(file, out / file.name)
