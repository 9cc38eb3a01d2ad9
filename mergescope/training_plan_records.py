"""What a plan of training holds: plain values, as JSON shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainer.memory import Memory, Sharding


@dataclass(frozen=True, slots=True)
class BasePlan:
    """The model that both trainings start from."""

    name: str
    """As the recipe names it, or its folder beside the recipe."""
    state: str
    """here, to be trained, to be fetched, or broken."""
    parameters: int | None
    """None where neither its files nor its published sizes are at hand."""
    basis: str
    """Where the number comes from."""


@dataclass(frozen=True, slots=True)
class DataPlan:
    """The triples of one training."""

    triples: int
    held_out: int
    """Those of them that are kept from training."""
    tokens: int
    """Of the sides of the trained ones that go through the model, once; padding apart."""
    longest: int
    """Tokens of the longest side."""
    basis: str
    """How the tokens were counted."""
    repeated: float
    """Passes over the triples."""


@dataclass(frozen=True, slots=True)
class RolePlan:
    """One of the two trainings."""

    role: Literal["safe", "useful"]
    method: str
    """`DPO` or `dual tuning (ratio)`, and what is trained: all weights, LoRA or QLoRA."""
    done: bool
    """Whether the model is there; whether with the recipe's present values, only a run can tell."""
    data: DataPlan | None
    """None where its files are not there."""
    steps: int | None
    """Optimizer steps; None where they follow from triples that are not there."""
    batch_size: int
    micro_batch_size: int
    """Triples a forward pass and device."""
    sides: int
    """Answers of each triple that go through the model: 2, or 1 where the chosen one alone is learned."""
    accumulated: int
    """Forward passes an optimizer step and device."""
    memory: Memory | None
    """Of each GPU, in bytes; None where the base's sizes are not known."""
    assumed_tokens: int
    """Length of a side that the activations stand on: the longest, or `max_length` where no triple is known."""
    checkpoint_bytes: int | None
    """Of one checkpoint that a killed training goes on from."""
    fits: tuple[str, ...]
    """GPUs of the plan's table that hold it."""
    command: str
    """What trains it: the command line that is started, or that of this program."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """The whole forecast."""

    study: str
    base: BasePlan
    processes: int
    machines: int
    engine: str
    """`one process`, FSDP, DeepSpeed or accelerate's name of the rest."""
    sharding: Sharding
    roles: tuple[RolePlan, ...]
    disk_free: int
    disk_needed: int | None
    """Bytes at the fullest moment: both models, and two checkpoints while the second is written."""
    notes: tuple[str, ...]
    refusals: tuple[str, ...]
    """What stands against a run, with the cure, one line each."""
