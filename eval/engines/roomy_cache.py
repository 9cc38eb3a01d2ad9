"""A KV cache that grows by blocks: the stock one copies itself whole at each token, most of the time on CPU."""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

BLOCK = 64
"""Positions by which a full layer grows."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers' classes are untyped here
    """Keys and values (B, heads, T, width) as views of larger buffers, written in place."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append the new positions; returns all keys and values so far."""
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room = [_room_for(new, end) for new in (key_states, value_states)]
        elif end > self._room[0].shape[-2]:
            self._room = [_grown(old, end) for old in self._room]
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[..., start:end, :] = new
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only these rows of the batch."""
        length = self.get_seq_length()
        self._room = [room[indices] for room in self._room]
        self._show(length)

    def _show(self, length: int) -> None:
        self.keys, self.values = (room[..., :length, :] for room in self._room)


def roomy_cache(config: Any) -> DynamicCache:
    """The cache that suits the model, its plain layers replaced by roomy ones; others (sliding, linear) stay."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _room_for(new: torch.Tensor, length: int) -> torch.Tensor:
    return new.new_zeros((*new.shape[:-2], -(-length // BLOCK) * BLOCK, new.shape[-1]))


def _grown(old: torch.Tensor, length: int) -> torch.Tensor:
    room = _room_for(old, length)
    room[..., : old.shape[-2], :] = old
    return room
