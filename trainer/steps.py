"""How many optimizer steps a training takes, and how devices share each one's batch."""

from __future__ import annotations

import math

from mergescope.ground.errors import RecipeError
from trainer.config import TuningSection


def batch_shape(section: TuningSection, processes: int) -> tuple[int, int]:
    """Triples a forward pass and device, and forward passes an optimizer step, so that batch_size is kept.

    processes: devices that share a batch. Raises RecipeError where they cannot.
    """
    micro = section.micro_batch_size or max(1, section.batch_size // processes)
    if section.batch_size % (micro * processes):
        raise RecipeError(
            f"{processes} devices with {micro} triples each do not make up a batch",
            where="train.*.batch_size",
            value=section.batch_size,
            cure=f"make it a multiple of {micro * processes}, or set micro_batch_size",
        )
    return micro, section.batch_size // (micro * processes)


def steps_of(section: TuningSection, triples: int) -> int:
    """Optimizer steps of a training on so many triples; an epoch's last batch may be smaller."""
    return section.steps or max(1, math.ceil((section.epochs or 1) * math.ceil(triples / section.batch_size)))
