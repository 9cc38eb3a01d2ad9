"""Tensors that mergekit makes from several stored ones: the fused experts of a mixture."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from merge.sources import MappedCheckpoint
from mergescope.ground.files import read_json

if TYPE_CHECKING:
    import torch


def converted(checkpoint: MappedCheckpoint, name: str) -> torch.Tensor:
    """The tensor `name` as mergekit's own conversion makes it. Raises KeyError where it makes none."""
    # mergekit takes seconds to import, and only mixtures need it here.
    from mergekit.architecture.conversion import convert_checkpoint_tensors

    model_type = read_json(checkpoint.folder / "config.json")["model_type"]
    readers: dict[str, Callable[[], torch.Tensor]] = {
        stored: functools.partial(checkpoint.tensor, stored) for stored in checkpoint.names
    }
    tensor: torch.Tensor | None = convert_checkpoint_tensors(model_type, readers, name)
    if tensor is None:
        raise KeyError(name)
    return tensor
