"""What a live vLLM model computes with, read back and held against what was streamed into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mergescope.ground.errors import CheckpointError

COLUMNS = 8
"""Columns of each matrix that are read back, spread evenly."""


@dataclass(frozen=True, slots=True)
class Live:
    """One tensor as the model computes with it."""

    name: str
    """vLLM's name."""
    part: torch.Tensor
    """A vector `(rows,)`, or some columns of a matrix `(rows, COLUMNS)`."""
    rows: torch.Tensor | None
    """Which rows of the whole tensor these are; None: all of them, or one worker's share of as many."""


class ReadBack:
    """Notes parts of all that is streamed, and compares them with the model's own layers afterwards.

    A matrix is read through its layer: multiplying by unit vectors gives its columns in every bit, packed copies
    included, which vLLM's CPU build keeps instead of the parameter. Where workers share each layer, a worker reads
    columns from its share of the width alone, which every kind of split layer has, and the rows that it holds.
    Experts of a mixture are not read.
    """

    def __init__(self, tied: Mapping[str, str], rank: int = 0, workers: int = 1) -> None:
        """tied: by a tensor that is another one under a second name, the other one. rank: this worker among them."""
        self._tied = tied
        self._rank = rank
        self._workers = workers
        self._streamed: dict[str, torch.Tensor] = {}

    def noted(self, weights: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        """The same stream."""
        for name, tensor in weights:
            if ".experts." not in name:
                self._streamed[name] = self._columns_of(tensor).clone()
            yield name, tensor

    def check(self, model: Any) -> None:
        """Raises CheckpointError naming a tensor whose layer computes with other values, or where none can be read."""
        packed: Mapping[str, list[str]] = getattr(model, "packed_modules_mapping", {})
        compared = 0
        for live in self._live(model):
            sources = [self._tied.get(n, n) if n not in self._streamed else n for n in _sources(live.name, packed)]
            if not all(source in self._streamed for source in sources):
                continue
            self._compare(live, sources)
            compared += 1
        if not compared:
            raise CheckpointError("no swapped tensor of this architecture can be read back from vLLM")

    def _compare(self, live: Live, sources: Sequence[str]) -> None:
        parts = [self._streamed[source] for source in sources]
        rows = self._share(sum(map(len, parts)), len(live.part)) if live.rows is None else live.rows
        owner = torch.cat([torch.full((len(part),), i) for i, part in enumerate(parts)])[rows]
        there = live.part.cpu()
        wanted = torch.cat(parts)[rows].cpu().to(there.dtype)
        unequal = (wanted != there).flatten(1).any(1) if there.dim() == 2 else wanted != there
        if unequal.any():
            raise CheckpointError("a swapped tensor reads back differently", value=sources[int(owner[unequal][0])])

    def _live(self, model: Any) -> Iterator[Live]:
        """Vectors, and columns of what linear layers, embeddings and heads compute with."""
        from vllm.model_executor.layers.linear import LinearBase, UnquantizedLinearMethod
        from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

        for name, module in model.named_modules():
            rows = None
            if isinstance(module, LinearBase):
                rows = _linear_rows(module)
                if isinstance(getattr(module, "quant_method", None), UnquantizedLinearMethod):
                    yield Live(f"{name}.weight", self._multiplied(module, module.input_size), rows)
            elif isinstance(module, VocabParallelEmbedding):
                rows = _vocabulary_rows(module)
                is_head = isinstance(module, ParallelLMHead)
                part = self._multiplied(module, module.embedding_dim) if is_head else self._columns_of(module.weight)
                yield Live(f"{name}.weight", part[: len(rows)], rows)
            for vector, tensor in module.named_parameters(name, recurse=False):
                if tensor.dim() == 1 and tensor.numel():
                    yield Live(vector, tensor if rows is None else tensor[: len(rows)], rows)

    def _multiplied(self, layer: Any, width: int) -> torch.Tensor:
        """Columns of a layer's matrix. width: of the whole one; a row-parallel layer holds a share of it."""
        parameter = layer.weight  # empty where a packed copy took its place, but of the right dtype and device
        held = getattr(layer, "input_size_per_partition", width)
        columns = torch.tensor(self._columns(width), device=parameter.device)
        if held < width:
            columns -= self._rank * held
        units = torch.nn.functional.one_hot(columns, held).to(parameter.dtype)
        product: torch.Tensor = layer.quant_method.apply(layer, units)
        return product.T

    def _columns_of(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor[:, self._columns(tensor.shape[1])] if tensor.dim() == 2 else tensor

    def _columns(self, width: int) -> list[int]:
        start, stop = (width * place // self._workers for place in (self._rank, self._rank + 1))
        return sorted({start + i * (stop - start - 1) // (COLUMNS - 1) for i in range(COLUMNS)})

    def _share(self, whole: int, held: int) -> torch.Tensor:
        """Rows of a vector that vLLM keeps whole or splits by a rule of its own: then each worker has its turn."""
        return torch.arange(held) + (self._rank * held if held < whole else 0)


def _linear_rows(layer: Any) -> torch.Tensor:
    """Rows of the whole matrix, its parts below each other, that a worker's layer holds."""
    if getattr(layer, "output_size_per_partition", layer.output_size) == layer.output_size:
        return torch.arange(layer.output_size)  # split by columns, or not at all
    rows, offset = [], 0
    for i, size in enumerate(layer.output_partition_sizes):
        # queries, keys, values: fewer heads of the last two than workers are held by several
        holders = getattr(layer, "num_kv_head_replicas", 1) if i else 1
        start = layer.tp_rank // holders * size
        rows.append(torch.arange(start, start + size) + offset)
        offset += size * layer.tp_size // holders
    return torch.cat(rows)


def _vocabulary_rows(layer: Any) -> torch.Tensor:
    held = layer.shard_indices
    return torch.arange(held.org_vocab_start_index, held.org_vocab_end_index)


def _sources(name: str, packed: Mapping[str, list[str]]) -> list[str]:
    """Names of the stored tensors that vLLM's tensor `name` is put together from, in its order."""
    *path, module, leaf = name.split(".")
    return [".".join([*path, part, leaf]) for part in packed.get(module, [module])]
