"""What a live vLLM model computes with, read back and held against what was streamed into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch

from mergescope.ground.errors import CheckpointError

COLUMNS = 8
"""Columns of each matrix that are read back, spread evenly."""


class ReadBack:
    """Notes parts of all that is streamed, and compares them with the model's own layers afterwards.

    A matrix is read through its layer: multiplying by unit vectors gives its columns in every bit, packed copies
    included, which vLLM's CPU build keeps instead of the parameter. Experts of a mixture are not read.
    """

    def __init__(self, tied: Mapping[str, str]) -> None:
        """tied: by a tensor that is another one under a second name, the other one."""
        self._tied = tied
        self._streamed: dict[str, torch.Tensor] = {}

    def noted(self, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        """The same stream."""
        for name, tensor in weights:
            if ".experts." not in name:
                self._streamed[name] = _part(tensor).clone()
            yield name, tensor

    def check(self, model: Any) -> None:
        """Raises CheckpointError naming a tensor whose layer computes with other values, or where none can be read."""
        packed: Mapping[str, list[str]] = getattr(model, "packed_modules_mapping", {})
        compared = 0
        for name, live in _live(model):
            sources = [self._tied.get(n, n) if n not in self._streamed else n for n in _sources(name, packed)]
            if not all(source in self._streamed for source in sources):
                continue
            parts = [self._streamed[source] for source in sources]
            for source, streamed, there in zip(sources, parts, live.split([len(p) for p in parts]), strict=True):
                if not torch.equal(there, streamed.to(there.device, there.dtype)):
                    raise CheckpointError("a swapped tensor reads back differently", value=source)
            compared += 1
        if not compared:
            raise CheckpointError("no swapped tensor of this architecture can be read back from vLLM")


def _live(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """By vLLM's name: vectors whole, and columns of what linear layers, embeddings and heads compute with."""
    from vllm.model_executor.layers.linear import UnquantizedLinearMethod
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

    for name, module in model.named_modules():
        if isinstance(getattr(module, "quant_method", None), UnquantizedLinearMethod):
            yield f"{name}.weight", _multiplied(module, module.input_size)
        elif isinstance(module, ParallelLMHead):
            yield f"{name}.weight", _multiplied(module, module.embedding_dim)[: module.org_vocab_size]
        elif isinstance(module, VocabParallelEmbedding):
            yield f"{name}.weight", _part(module.weight)[: module.org_vocab_size]
    yield from ((name, tensor) for name, tensor in model.named_parameters() if tensor.dim() == 1 and tensor.numel())


def _multiplied(layer: Any, width: int) -> torch.Tensor:
    parameter = layer.weight  # empty where a packed copy took its place, but of the right dtype and device
    columns = torch.tensor(_columns(width), device=parameter.device)
    units = torch.nn.functional.one_hot(columns, width).to(parameter.dtype)
    product: torch.Tensor = layer.quant_method.apply(layer, units)
    return product.T


def _part(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:, _columns(tensor.shape[1])] if tensor.dim() == 2 else tensor


def _columns(width: int) -> list[int]:
    return sorted({i * (width - 1) // (COLUMNS - 1) for i in range(COLUMNS)})


def _sources(name: str, packed: Mapping[str, list[str]]) -> list[str]:
    """Names of the stored tensors that vLLM's tensor `name` is put together from, in its order."""
    *path, module, leaf = name.split(".")
    return [".".join([*path, part, leaf]) for part in packed.get(module, [module])]
