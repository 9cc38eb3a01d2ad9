"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290) through TRL.

The loss per triple is -log sigmoid(beta (log pi(y+)/ref(y+) - log pi(y-)/ref(y-))) + sft_weight * NLL(y+), with NLL
the mean over the chosen answer's tokens. The second term keeps the chosen answers likely: DPO alone lowers both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mergescope.ground.progress import Reporter
from mergescope.ground.seeds import derive_seed
from trainer.config import DpoSection
from trainer.encoding import Encoded, encode_all
from trainer.held_out import split_of
from trainer.logps import Continuation, LogpFile
from trainer.triples import Triple
from trainer.tuning import Setup, load_tokenizer, tune

METRICS = {"rewards/accuracies": "accuracy", "rewards/margins": "margin"}
"""What TRL logs of each step beside the loss, and its names in the curve."""
REFERENCES = ("ref_chosen_logps", "ref_rejected_logps")
"""TRL's columns of the answers' summed log-probabilities under the reference."""


def train_dpo(
    section: DpoSection,
    base: Path | str,
    triples: Sequence[Triple],
    out: Path,
    seed: int,
    reporter: Reporter,
    logps: LogpFile,
    work: Path | None = None,
) -> dict[str, Any]:
    """Tune `base` on the triples and write a loadable checkpoint into `out`. work: see `trainer.tuning.tune`.

    logps: holds all that `dpo_references` asks for. Returns what the manifest should hold: seed, number of triples, and
    loss, accuracy and margin of each step. Raises DataError where a triple is longer than `max_length` tokens.
    """
    encode_all(load_tokenizer(base), triples, section.max_length)
    parts = split_of(section, triples, seed)

    def build(setup: Setup) -> Any:
        return _trainer(section, setup, preference_rows(parts.trained), preference_rows(parts.held_out), logps)

    own = derive_seed(seed, "dpo")
    count = len(parts.trained)
    content = tune(
        section, base, out, own, reporter, name="DPO", triples=count, build=build, metrics=METRICS, work=work
    )
    return {"seed": seed, "triples": len(triples), **content}


def dpo_references(encoded: Sequence[Encoded]) -> list[Continuation]:
    """What DPO asks of the base: both answers of each triple."""
    return [Continuation(one.prompt, answer) for one in encoded for answer in (one.chosen, one.rejected)]


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


def _trainer(
    section: DpoSection, setup: Setup, rows: list[dict[str, Any]], held_out: list[dict[str, Any]], logps: LogpFile
) -> Any:
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class SharedReferenceTrainer(DPOTrainer):  # type: ignore[misc]
        """TRL's trainer, which asks the file instead of a reference model."""

        def _precompute_ref_logps(self, dataset: Any, name: str, batch_size: int) -> Any:  # noqa: ARG002
            for column, sums in zip(REFERENCES, _sums(dataset, logps), strict=True):
                dataset = dataset.add_column(column, sums)
            return dataset

    arguments = DPOConfig(
        **setup.arguments,
        beta=section.beta,
        loss_type=["sigmoid", "sft"] if section.sft_weight else ["sigmoid"],
        loss_weights=[1.0, section.sft_weight] if section.sft_weight else None,
        max_length=section.max_length,
        precompute_ref_log_probs=True,
    )
    trainer = SharedReferenceTrainer(
        model=setup.model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(held_out) if held_out else None,
        processing_class=setup.tokenizer,
        peft_config=setup.adapter,
    )
    if getattr(setup.model, "is_loaded_in_4bit", False):
        _keep_in_float32(trainer.model)
    return trainer


def _keep_in_float32(model: Any) -> None:
    """Undo TRL's cast of the factors beside a 4-bit base to bfloat16, where a step of 1e-5 is less than half a unit."""
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()


def _sums(dataset: Any, logps: LogpFile) -> tuple[list[float], list[float]]:
    """The summed log-probabilities of chosen and rejected answers of TRL's tokenized rows."""

    def of(side: str) -> list[float]:
        rows = zip(dataset["prompt_ids"], dataset[side], strict=True)
        return [float(logps.logps(Continuation(tuple(prompt), tuple(answer))).sum()) for prompt, answer in rows]

    return of("chosen_ids"), of("rejected_ids")
