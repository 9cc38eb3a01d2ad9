"""What a vLLM worker does at a swap: take the weights' recipe, make its own stream of them, and check what arrived.

vLLM mixes `SwapWorker` into its workers, in this process or in one for each GPU. A stream of tensors cannot be sent to
another process, so each worker makes the whole stream and keeps its share of every tensor.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.engine import Swap, Weights
from eval.engines.layout import Layout, layout_of
from eval.engines.readback import ReadBack
from eval.engines.swap_hash import SwapHash
from mergescope.ground.errors import MergescopeError

if TYPE_CHECKING:
    import torch

Stream = Iterator[tuple[str, "torch.Tensor"]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a swap in one worker."""

    swap: Swap | None
    """None where it was refused."""
    refusal: MergescopeError | None
    """Kept as a value: of an exception that a worker raises or gives back, vLLM makes a RuntimeError."""


class SwapWorker:
    """Mixed into vLLM's worker; its methods are called there by `collective_rpc`."""

    def swap_in(self: Any, weights: Weights, folder: Path, may_run_code: bool) -> Outcome:
        """Swap in all weights and read a part of them back."""
        try:
            return Outcome(_swapped(self, weights, _layout(folder, may_run_code)), None)
        except MergescopeError as refusal:
            return Outcome(None, refusal)


def _swapped(worker: Any, weights: Weights, layout: Layout) -> Swap:
    model = worker.get_model()
    read_back, hashed = ReadBack(layout.tied, *_share()), SwapHash()
    refusals: list[MergescopeError] = []

    def streamed() -> Stream:
        try:
            yield from read_back.noted(layout.as_stored(hashed.noted(weights({}))))
        except MergescopeError as refusal:
            refusals.append(refusal)  # raised below: a reload that vLLM does not finish spoils every later one

    _forget_packed_experts(model)
    worker.reload_weights(weights_iterator=streamed())
    _repack_tied_head(model)
    if refusals:
        raise refusals[0]
    read_back.check(model)
    return hashed.swap()


@functools.lru_cache(maxsize=1)
def _layout(folder: Path, may_run_code: bool) -> Layout:
    return layout_of(folder, may_run_code=may_run_code)


def _share() -> tuple[int, int]:
    """This worker's place among those that share each layer, and how many they are."""
    from vllm.distributed import get_tensor_model_parallel_rank, get_tensor_model_parallel_world_size

    return get_tensor_model_parallel_rank(), get_tensor_model_parallel_world_size()


def _forget_packed_experts(model: Any) -> None:
    """Have the coming reload pack a mixture's experts as the first load did.

    vLLM's CPU build pads and packs experts only where no kernel is set up yet. A reload copies them plain over the
    packed ones: it fails where padding makes the shapes differ, and is silently wrong elsewhere.
    """
    from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import UnquantizedFusedMoEMethod
    from vllm.platforms import current_platform

    for module in model.modules() if current_platform.is_cpu() else ():
        if isinstance(getattr(module, "quant_method", None), UnquantizedFusedMoEMethod):
            module.quant_method.moe_kernel = None


def _repack_tied_head(model: Any) -> None:
    """Make a tied output head anew from the embeddings just streamed.

    vLLM's CPU build multiplies by a packed copy of the head. A reload packs anew every layer that has a tensor of its
    own, and a tied head has none: it would go on with the weights that the engine was started with.
    """
    if getattr(model.config, "tie_word_embeddings", False) and hasattr(model, "lm_head"):
        model.lm_head.weight = model.model.embed_tokens.weight
        model.lm_head.quant_method.process_weights_after_loading(model.lm_head)
