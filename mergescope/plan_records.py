"""What a plan holds: plain values, as JSON shows them."""

from __future__ import annotations

from dataclasses import dataclass

from eval.roofline import Served
from merge.forecast import Need, Rates
from merge.points import Role, Way
from mergescope.ground.memory import Memory
from mergescope.model_headers import State
from mergescope.plan_answers import Asked, GpuPlan


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One of the three models."""

    role: Role
    name: str
    """As the recipe names it, or its folder beside the recipe."""
    state: State
    bytes: int | None
    """Bytes of its weight files, on disk or to be written; None where that is not known."""
    parameters: dict[str, int]
    """By dtype, most first."""
    tensors: int
    """0 where it is not known."""


@dataclass(frozen=True, slots=True)
class GridPlan:
    """The merges."""

    points: int
    ratios: int
    mask_seeds: int
    further: int
    """Points beyond the grid: further mask seeds of shortlisted ratios."""
    seeds_drawn: int
    """Mask seeds whose masks are there already."""
    way: Way
    """blend: ours, in memory; mergekit: a run of mergekit for every point."""


@dataclass(frozen=True, slots=True)
class MergePlan:
    """What the merges take; known once all models' headers are."""

    architecture: str
    parameters: int
    out_dtype: str
    source_bytes: int
    """Bytes of the weights that every pass reads."""
    mask_bytes: int
    """Bytes of one mask seed's masks."""
    output_bytes: int
    """Bytes of one merge, handed to the engine in memory."""
    work: tuple[Need, ...]
    """In the order in which it is done; an export last, which nobody has asked for yet."""
    each: Need
    """That of one merge."""
    seconds: float
    """Of all of it, exports apart."""
    rates: Rates
    """What the seconds stand on."""


@dataclass(frozen=True, slots=True)
class RoomPlan:
    """What this machine has, and what the study needs of it, in bytes."""

    disk_models: int
    """Models that the study trains, or merges from base and adapter."""
    disk_masks: int
    """Masks that are still to be drawn."""
    disk_free: int
    memory_needed: int
    """Largest need of any step's process; page cache apart."""
    memory_for: str
    """That step."""
    memory: Memory
    mapped: int
    """Files that a merge maps."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole forecast."""

    study: str
    models: tuple[ModelPlan, ...]
    grid: GridPlan
    merge: MergePlan | None
    """None where a model's headers are not known."""
    room: RoomPlan | None
    engine: str
    """Kind and dtype of the recipe's engine."""
    beside: int
    """Models of `eval.checkpoints` that an engine here answers for."""
    asked: Asked | None
    """None where the prompts are not known."""
    served: Served | None
    """The model in the engine; None where prompts or models are not known, or its config gives no cache size."""
    gpus: tuple[GpuPlan, ...]
    hours_limit: float
    notes: tuple[str, ...]
    """What a reader should know, one line each."""
    refusals: tuple[str, ...]
    """What will not fit or cannot be read, with the cure, one line each; empty: nothing stands against a run."""
