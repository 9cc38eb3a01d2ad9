"""How much memory of each GPU a training takes: a formula, whose assumptions are named.

With P parameters, N processes, A parameters of an adapter, c bytes of a number that is computed with (2 in bfloat16):

    all weights:  weights 4 P, gradients 4 P, AdamW's two moments 8 P: 16 bytes a parameter in float32
    bfloat16:     2 P more for the copies of the weights that autocast computes with
    N > 1:        4 P more for the buckets in which gradients are summed, where nothing is sharded
    sharded:      an N-th of optimizer; of gradients and the float32 weights; of everything, with two layers gathered
    LoRA:         weights c P, frozen; 16 A
    QLoRA:        linear weights 0.516 bytes each: 4 bits and 0.127 for their scales (arXiv 2305.14314, section 3)

Activations of T tokens in a pass, of L layers with width h, queries q, keys k, inner width i: what transformers' Llama
saves for its backward pass, counted tensor by tensor (tests/trainer/test_memory.py); others are taken to be alike.

    a layer       T (26 h + 4 q + 4 k + 8 i) in bfloat16, T (24 h + 8 q + 8 k + 16 i) in float32
    checkpointed  4 T h L for the stream before each layer, and one layer at a time
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from trainer.shapes import Shape

Sharding = Literal["none", "optimizer", "gradients", "all"]
FULL = 4
"""Bytes of a float32."""
MOMENTS = 8
"""Bytes of AdamW's two moments a parameter."""
FOUR_BITS = (4 + 0.127) / 8
"""Bytes of a weight in NF4 with doubly quantised scales."""
GATHERED = 2
"""Layers that a fully sharded model holds whole at a time: the one at work and the next."""
HEAD_TILE = 4096
"""Positions whose logits are there at once, at most: an assumption; TRL computes the head in tiles."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on each GPU at the peak of a step; the parts are those of the formula."""

    weights: int
    """With the copies that compute, and the layers that are gathered."""
    gradients: int
    optimizer: int
    activations: int
    """Of one forward pass; an estimate, the other parts follow from the number of parameters."""

    @property
    def total(self) -> int:
        """All of them; CUDA's own memory and fragmentation come on top."""
        return self.weights + self.gradients + self.optimizer + self.activations


@dataclass(frozen=True, slots=True)
class Way:
    """How a model is trained, as far as its memory depends on it."""

    half: bool
    """Whether bfloat16 computes."""
    rank: int | None
    """Of an adapter's factors; None: all weights are trained."""
    four_bit: bool
    """Whether the frozen weights are held in four bits."""
    checkpointing: bool
    """Whether activations within a layer are computed twice rather than kept."""
    processes: int
    sharding: Sharding


def memory_of(shape: Shape, parameters: int, way: Way, tokens: int) -> Memory:
    """Memory of one GPU. parameters: of the base; tokens: of one forward pass, padding included."""
    moving = parameters if way.rank is None else shape.adapter(way.rank)
    return Memory(
        weights=round(_weights(shape, parameters, moving, way)),
        gradients=round(_gradients(moving, way)),
        optimizer=round(moving * MOMENTS / (1 if way.sharding == "none" else way.processes)),
        activations=round(_activations(shape, way, tokens)),
    )


def _weights(shape: Shape, parameters: int, moving: int, way: Way) -> float:
    compute = 2 if way.half else FULL
    if way.rank is not None:
        frozen = compute * (parameters - shape.linear) + shape.linear * (FOUR_BITS if way.four_bit else compute)
        trained = moving * (FULL + (2 if way.half else 0))
        return _shared(frozen + trained, shape, compute, way)
    if way.sharding == "none":
        return parameters * (FULL + (2 if way.half else 0))
    if way.sharding == "all":
        return _shared(parameters * FULL, shape, compute, way)
    return parameters * (compute + (FULL / way.processes if way.half else 0))  # whole copies to compute with


def _shared(whole: float, shape: Shape, compute: int, way: Way) -> float:
    """Bytes of frozen or fully sharded weights: a share of each, and the layers that are whole for the moment."""
    if way.sharding != "all":
        return whole
    ends = shape.vocabulary * shape.width * (1 if shape.tied else 2)
    return whole / way.processes + compute * max(GATHERED * shape.layer, ends)


def _gradients(moving: int, way: Way) -> float:
    if way.sharding in ("gradients", "all"):
        return moving * FULL / way.processes
    buckets = FULL if way.processes > 1 and way.sharding == "none" else 0
    return moving * (FULL + buckets)


def _activations(shape: Shape, way: Way, tokens: int) -> float:
    layer = tokens * layer_bytes(shape, half=way.half)
    head = min(tokens, HEAD_TILE) * shape.vocabulary * FULL
    if way.checkpointing:
        return FULL * tokens * shape.width * shape.layers + layer + head
    return layer * shape.layers + head


def layer_bytes(shape: Shape, *, half: bool) -> int:
    """Bytes that one layer keeps of each token for its backward pass. half: whether bfloat16 computes."""
    stream, number = (26, 4) if half else (24, 8)  # the norms compute in float32 either way
    return stream * shape.width + number * (shape.queries + shape.keys + 2 * shape.inner)
