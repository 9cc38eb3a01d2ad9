"""The two forms of a model's weights: as it computes with them, and as its checkpoints are stored."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergescope.ground.errors import CheckpointError

if TYPE_CHECKING:
    import torch

Weights = Iterable[tuple[str, "torch.Tensor"]]


class Layout:
    """Names and shapes of both forms. They differ for mixtures: experts are stored one by one and computed together.

    mergekit writes a mixture in its own form, fine-tunes are mostly stored in the other; an engine takes either.
    """

    def __init__(self, model: Any, folder: Path) -> None:
        """From a transformers model made from `folder`; its weights are not read, so that it may be a meta one."""
        self._folder = folder
        self._type: str = model.config.model_type
        self.own: dict[str, tuple[int, ...]] = {name: tuple(t.shape) for name, t in model.state_dict().items()}
        """Shapes by the model's own names."""
        self.tied: dict[str, str] = dict(model.all_tied_weights_keys)
        """By a tensor that is another one under a second name, as a tied head: the other one."""
        self._divide = _divider(model)
        self._parts = {name: self._part_shapes(name) for name in self.own}
        self._own_of = {part: name for name, parts in self._parts.items() for part in parts}
        self.stored: dict[str, tuple[int, ...]] = {n: s for parts in self._parts.values() for n, s in parts.items()}
        """Shapes by the names that checkpoints are stored under."""

    def as_own(self, weights: Weights) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor in the model's own form; names that belong to neither form pass through.

        What is stored in parts comes when its last part has come, and not at all where one is missing.
        """
        waiting: dict[str, dict[str, torch.Tensor]] = {}
        for name, tensor in weights:
            own = self._own_of.get(name, name)
            if name in self.own or own not in self.own:
                yield name, tensor
                continue
            parts = waiting.setdefault(own, {})
            parts[name] = tensor
            if len(parts) == len(self._parts[own]):
                yield own, _joined(self._type, waiting.pop(own), own)

    def as_stored(self, weights: Weights) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor as checkpoints store it.

        Raises CheckpointError for a name of neither form, a misshapen tensor, or, at the end, one that never came.
        """
        missing = set(self.stored) - set(self.tied)
        for name, tensor in weights:
            wanted = self.stored.get(name, self.own.get(name))
            if wanted is None:
                raise CheckpointError("the model has no such tensor", where=self._folder, value=name)
            if wanted != tuple(tensor.shape):
                shapes = f"{tuple(tensor.shape)}, the model's is {wanted}"
                raise CheckpointError(f"tensor {name} has shape {shapes}", where=self._folder)
            parts = {name: tensor} if name in self.stored else self._divide({name: tensor})
            missing -= set(parts)
            yield from parts.items()
        if missing:
            raise CheckpointError("a tensor was left unswapped", where=self._folder, value=min(missing))

    def _part_shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        import torch

        whole = torch.empty(self.own[name], device="meta")
        return {part: tuple(tensor.shape) for part, tensor in self._divide({name: whole}).items()}


def layout_of(folder: Path, *, may_run_code: bool = False) -> Layout:
    """The layout of the checkpoint in `folder`, from its configuration alone.

    may_run_code: whether code in the folder may run.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder, trust_remote_code=may_run_code)
    with torch.device("meta"):
        return Layout(AutoModelForCausalLM.from_config(config, trust_remote_code=may_run_code), folder)


def _divider(model: Any) -> Callable[[Mapping[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """transformers' own way from the model's form of some tensors to the stored one."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import PrefixChange, revert_weight_conversion

    # By itself a model knows only the conversions that the folder which it was read from needed.
    conversions = get_model_conversion_mapping(model, add_legacy=False)
    model._weight_conversions = [c for c in conversions if not isinstance(c, PrefixChange)] or None
    return functools.partial(revert_weight_conversion, model) if model._weight_conversions else dict


def _joined(model_type: str, parts: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    # mergekit takes seconds to import, and only mixtures need it here.
    from mergekit.architecture.conversion import convert_checkpoint_tensors

    tensor: torch.Tensor | None = convert_checkpoint_tensors(model_type, parts, name)
    if tensor is None:
        raise CheckpointError("its parts do not make the tensor", value=name)
    return tensor
