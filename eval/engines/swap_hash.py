"""The hash of weights on their way into an engine: what a bundle's manifest says of them, and the store keeps."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from eval.engine import Swap
from merge.identity import HASHERS
from merge.tensor_bytes import Entry, entries_hash, tensor_entry
from mergescope.ground.errors import CheckpointError

if TYPE_CHECKING:
    import torch


class SwapHash:
    """Hashes tensors in threads while they stream: sha256 runs outside Python's lock, beside blend and copies."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._names: set[str] = set()
        self._bytes = 0

    def noted(self, weights: Iterator[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
        """The same stream. A tensor that was filled in an engine's own memory is hashed there.

        Raises CheckpointError for a tensor that comes twice.
        """
        hashers = min(HASHERS, os.cpu_count() or 1)
        waiting: deque[tuple[str, Future[Entry]]] = deque()
        with ThreadPoolExecutor(hashers) as pool:
            for name, tensor in weights:
                if name in self._names:
                    raise CheckpointError("a tensor came twice", value=name)
                self._names.add(name)
                # a GPU's tensor is copied here, in the order of its stream, which threads do not share
                waiting.append((name, pool.submit(tensor_entry, tensor.cpu())))
                self._bytes += tensor.nbytes
                yield name, tensor
                while len(waiting) > hashers:  # else the blend's memory would grow
                    self._take(*waiting.popleft())
            for name, entry in waiting:
                self._take(name, entry)

    def swap(self) -> Swap:
        """What came of a stream that has ended."""
        return Swap(entries_hash(self._entries), len(self._entries), self._bytes)

    def _take(self, name: str, entry: Future[Entry]) -> None:
        self._entries[name] = entry.result()
