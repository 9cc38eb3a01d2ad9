"""Dual tuning's loss is a mean over triples: micro batches, padding, adapters and recomputation leave it as it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.trainer.tuned import tuned
from trainer.config import DpoSection, DualSection, LoraSection
from trainer.dual import Pair, collate, loss_of
from trainer.logps import scoring
from trainer.tuning import load_model

PAIRS = (
    Pair((5, 6, 7), (8, 9), (10, 11, 12, 13), (False, True, True, False)),
    Pair((5,), (9, 8, 7, 6, 5, 4), (12,), (True,)),
    Pair((9, 9, 5, 6), (20,), (21, 22), (False, False)),
    Pair((30, 31), (32, 33, 34), (35, 36, 37), (True, True, True)),
)
"""Answers of unlike lengths; of the third pair no token is toxic."""


@pytest.fixture(scope="module")
def section(tuning: DpoSection) -> DualSection:
    return DualSection(**tuning.model_dump(exclude={"method", "beta", "sft_weight"}), method="dual", mode="uniform")


@pytest.mark.parametrize("micro", [1, 2])
def test_micro_batches_add_up_to_the_batch(section: DualSection, base: Path, micro: int) -> None:
    """Mean over the four pairs, and its gradient, whether computed at once or in parts of 1/4 a pair."""
    models = [scoring(load_model(section, base)) for _ in range(2)]
    whole = loss_of(models[0], collate(PAIRS, both=True), section).total.mean()
    whole.backward()
    total = 0.0
    for start in range(0, len(PAIRS), micro):
        part = loss_of(models[1], collate(PAIRS[start : start + micro], both=True), section).total.sum() / len(PAIRS)
        part.backward()
        total += part.item()
    assert total == pytest.approx(whole.item(), abs=1e-6)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-6, rtol=1e-4)


@pytest.mark.deep
def test_an_adapter_learns_it_too_and_recomputing_changes_nothing(
    section: DualSection, base: Path, triples_file: Path, tmp_path: Path
) -> None:
    lora = section.model_copy(update={"lora": LoraSection(rank=4, alpha=8), "steps": 8})
    kept = tuned(lora, base, triples_file, tmp_path / "kept")["steps"]
    again = lora.model_copy(update={"gradient_checkpointing": True})
    recomputed = tuned(again, base, triples_file, tmp_path / "again")["steps"]
    assert kept[-1]["loss"] < 0.99 * kept[0]["loss"]
    assert [step["loss"] for step in recomputed] == pytest.approx([step["loss"] for step in kept], abs=2e-5)
