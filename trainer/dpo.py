"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) through TRL.

The loss per triple is -log sigmoid(beta (log pi(y+)/ref(y+) - log pi(y-)/ref(y-))) + sft_weight * NLL(y+), with NLL
the mean over the chosen answer's tokens. The second term keeps the chosen answers likely: DPO alone lowers both.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mergescope.ground.errors import DataError
from mergescope.ground.progress import Reporter, Task
from mergescope.ground.seeds import derive_seed
from trainer.config import DpoSection
from trainer.pretrain import THREADS
from trainer.triples import Triple


def train_dpo(
    section: DpoSection, base: Path | str, triples: Sequence[Triple], out: Path, seed: int, reporter: Reporter
) -> dict[str, Any]:
    """Tune `base` on the triples and write a loadable checkpoint into `out`.

    Returns what the manifest should hold: seed, number of triples, and loss, accuracy and margin of each step.
    Raises DataError where a triple is longer than `max_length` tokens.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(THREADS)
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = preference_rows(triples)
    check_lengths(tokenizer, triples, rows, section.max_length)
    # The weights stay in float32, also when bfloat16 computes: at a rate of 1e-6 an update is less than half a unit in
    # the last place of a bfloat16 weight and would round away.
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with tempfile.TemporaryDirectory(prefix="dpo-") as scratch:
        steps = _train(section, model, tokenizer, rows, Path(scratch), derive_seed(seed, "dpo"), reporter)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {"seed": seed, "triples": len(rows), "steps": steps}


def preference_rows(triples: Sequence[Triple]) -> list[dict[str, Any]]:
    """TRL's conversational preference form; the chat template is applied by the trainer."""
    return [
        {
            "prompt": [{"role": "user", "content": t.prompt}],
            "chosen": [{"role": "assistant", "content": t.chosen}],
            "rejected": [{"role": "assistant", "content": t.rejected}],
        }
        for t in triples
    ]


def check_lengths(tokenizer: Any, triples: Sequence[Triple], rows: Sequence[dict[str, Any]], limit: int) -> None:
    """Raise DataError where prompt and answer together exceed `limit` tokens; TRL would cut them silently."""
    for triple, row in zip(triples, rows, strict=True):
        for side in ("chosen", "rejected"):
            text = tokenizer.apply_chat_template(row["prompt"] + row[side], tokenize=False)
            if (count := len(tokenizer.encode(text, add_special_tokens=False))) > limit:
                cure = "raise train.*.max_length or shorten the triple"
                raise DataError(f"{side} side of triple {triple.idx} is too long in tokens", value=count, cure=cure)


def _train(
    section: DpoSection,
    model: Any,
    tokenizer: Any,
    rows: list[dict[str, Any]],
    scratch: Path,
    seed: int,
    reporter: Reporter,
) -> list[dict[str, float]]:
    """Run TRL's trainer on `model` in place; returns loss, reward accuracy and margin of every optimizer step."""
    from datasets import Dataset
    from trl import DPOTrainer

    trainer = DPOTrainer(
        model=model,
        args=_arguments(section, scratch, seed),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    from transformers import PrinterCallback, ProgressCallback

    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    total = section.steps or _steps(section, len(rows))
    with reporter.task("DPO", total, "steps") as task:
        trainer.add_callback(_progress(task))
        trainer.train()
    return [_curve_point(entry) for entry in trainer.state.log_history if "loss" in entry]


def _arguments(section: DpoSection, scratch: Path, seed: int) -> Any:
    import torch
    from trl import DPOConfig

    micro = section.micro_batch_size or max(1, section.batch_size // _devices())
    bfloat16 = section.dtype == "bfloat16" and torch.cuda.is_available()
    return DPOConfig(
        output_dir=str(scratch),
        max_steps=section.steps or -1,
        num_train_epochs=section.epochs or 1,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=max(1, section.batch_size // (micro * _devices())),
        learning_rate=section.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        beta=section.beta,
        loss_type=["sigmoid", "sft"] if section.sft_weight else ["sigmoid"],
        loss_weights=[1.0, section.sft_weight] if section.sft_weight else None,
        max_length=section.max_length,
        precompute_ref_log_probs=True,
        gradient_checkpointing=section.gradient_checkpointing,
        bf16=bfloat16,
        fp16=False,
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _devices() -> int:
    """Devices that share a batch: processes of a launcher, else this machine's GPUs, else the CPU."""
    import torch

    return int(os.environ.get("WORLD_SIZE", "0")) or max(1, torch.cuda.device_count())


def _steps(section: DpoSection, rows: int) -> int:
    return max(1, round((section.epochs or 1) * -(-rows // section.batch_size)))


def _progress(task: Task) -> Any:
    from transformers import TrainerCallback

    class Progress(TrainerCallback):  # type: ignore[misc]
        """Moves the reporter's task with the trainer's steps."""

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" in logs:
                task.advance(note=f"loss {float(logs['loss']):.3f}")

    return Progress()


def _curve_point(entry: dict[str, float]) -> dict[str, float]:
    names = {"loss": "loss", "rewards/accuracies": "accuracy", "rewards/margins": "margin"}
    return {short: round(float(entry[name]), 5) for name, short in names.items() if name in entry}
