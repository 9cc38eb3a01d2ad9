"""Tensors at hand as an engine takes weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Given:
    """These tensors, in their order."""

    tensors: Mapping[str, torch.Tensor]

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ARG002
        yield from self.tensors.items()
