"""The recipe's train section says how long to train in one way only."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from trainer.config import DpoSection


@pytest.mark.parametrize("lengths", [{}, {"steps": 3, "epochs": 1.0}])
def test_epochs_or_steps(lengths: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="either epochs or steps"):
        DpoSection.model_validate({"triples": ["a.jsonl"], **lengths})


def test_micro_batches_divide_the_batch() -> None:
    with pytest.raises(ValidationError, match="multiple of micro_batch_size"):
        DpoSection.model_validate({"triples": ["a.jsonl"], "steps": 3, "batch_size": 32, "micro_batch_size": 5})
