"""DPO through TRL on a tiny model: it learns, it repeats bit for bit, and it refuses to cut triples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mergescope.ground.errors import DataError
from mergescope.ground.ids import file_hash
from mergescope.ground.seeds import derive_seed
from tests.trainer.tuned import tuned
from trainer.config import DpoSection, LoraSection
from trainer.dpo import _trainer, preference_rows
from trainer.encoding import encode_all
from trainer.logps import Continuation, LogpFile
from trainer.lora import lora_config
from trainer.quiet import quiet_libraries
from trainer.triples import load_triples
from trainer.tuning import Setup, _arguments, load_model, load_tokenizer


@pytest.fixture(scope="module")
def run(tuning: DpoSection, base: Path, triples_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("tuned")
    return out, tuned(tuning, base, triples_file, out)


class _Known(LogpFile):
    """Knows each answer, as equally likely."""

    def __init__(self) -> None:
        super().__init__(Path("nowhere"))

    def logps(self, asked: Continuation) -> Any:
        return np.zeros(len(asked.answer), dtype="<f4")


def test_loss_falls_and_the_chosen_side_wins(run: Any) -> None:
    _, content = run
    steps = content["steps"]
    assert len(steps) == 12
    assert steps[-1]["loss"] < 0.8 * steps[0]["loss"]
    assert steps[-1]["margin"] > 0
    assert content["triples"] == 8


def test_first_loss_is_log_two_without_the_likelihood_term(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    plain = tuning.model_copy(update={"sft_weight": 0.0, "steps": 1})
    content = tuned(plain, base, triples_file, tmp_path)
    assert content["steps"][0]["loss"] == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.deep
def test_same_seed_same_bits_other_seed_other_bits(
    run: Any, tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    out, content = run
    again = tuned(tuning, base, triples_file, tmp_path / "again")
    tuned(tuning, base, triples_file, tmp_path / "other", seed=2)
    name = "model.safetensors"
    assert file_hash(tmp_path / "again" / name) == file_hash(out / name)
    assert again == content
    assert file_hash(tmp_path / "other" / name) != file_hash(out / name)


def test_tuned_model_keeps_tokenizer_template_and_shapes(run: Any, base: Path) -> None:
    from safetensors import safe_open

    out, _ = run
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (base / name).read_bytes()
    with safe_open(out / "model.safetensors", "pt") as new, safe_open(base / "model.safetensors", "pt") as old:
        assert set(new.keys()) == set(old.keys())
        assert {new.get_tensor(k).dtype for k in new.keys()} == {old.get_tensor(k).dtype for k in old.keys()}  # noqa: SIM118


def test_triple_longer_than_the_limit_stops_the_run(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="triple 0 is too long"):
        tuned(tuning.model_copy(update={"max_length": 16}), base, triples_file, tmp_path)


@pytest.mark.parametrize("sft_weight", [0.0, 0.5])
def test_losses_are_those_of_trl_with_a_reference_of_its_own(
    tuning: DpoSection, base: Path, triples_file: Path, tmp_path: Path, sft_weight: float
) -> None:
    """TRL's trainer as it comes, which keeps the base in memory and asks it at every step."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    section = tuning.model_copy(update={"sft_weight": sft_weight, "steps": 4})
    content = tuned(section, base, triples_file, tmp_path / "ours")
    torch.manual_seed(derive_seed(1, "dpo"))
    with quiet_libraries():
        arguments = DPOConfig(
            **_arguments(section, tmp_path / "theirs", derive_seed(1, "dpo")),
            beta=section.beta,
            loss_type=["sigmoid", "sft"] if sft_weight else ["sigmoid"],
            loss_weights=[1.0, sft_weight] if sft_weight else None,
            max_length=section.max_length,
        )
        trainer = DPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            ref_model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
            args=arguments,
            train_dataset=Dataset.from_list(preference_rows(load_triples(triples_file))),
            processing_class=AutoTokenizer.from_pretrained(base),
        )
        trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert [step["loss"] for step in content["steps"]] == pytest.approx(theirs, abs=1e-5)


def test_factors_beside_a_four_bit_base_stay_in_float32(tuning: DpoSection, base: Path, tmp_path: Path) -> None:
    """Of the four bits only the flag is here, which is what TRL looks at when it casts the factors."""
    section = tuning.model_copy(update={"lora": LoraSection(rank=2, alpha=4)})
    model = load_model(section, base)
    model.is_loaded_in_4bit = True
    adapter = lora_config(LoraSection(rank=2, alpha=4))
    setup = Setup(model, load_tokenizer(base), _arguments(section, tmp_path, 1), adapter)
    with quiet_libraries():
        trainer = _trainer(section, setup, preference_rows(load_triples(section.triples[0])), [], _Known())
    dtypes = {weight.dtype for weight in trainer.model.parameters() if weight.requires_grad}
    assert dtypes == {torch.float32}


def test_tokens_are_those_of_trl(base: Path, triples_file: Path) -> None:
    """Or the file of log-probabilities would not know the rows that TRL makes."""
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = load_triples(triples_file)
    with quiet_libraries():
        dataset = DPOTrainer._prepare_dataset(
            None,
            Dataset.from_list(preference_rows(rows)),
            tokenizer,
            DPOConfig(max_length=64, report_to=[], bf16=False),
            "train",
        )
    theirs = [tuple(tuple(row[name]) for name in ("prompt_ids", "chosen_ids", "rejected_ids")) for row in dataset]
    assert theirs == [(one.prompt, one.chosen, one.rejected) for one in encode_all(tokenizer, rows, 64)]
