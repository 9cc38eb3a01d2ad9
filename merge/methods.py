"""The merge methods that a recipe can name, and what of mergekit's parameters each of them has."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

MethodName = Literal["dare_ties", "ties", "dare_linear", "task_arithmetic", "linear", "slerp", "della"]

EPSILON = Decimal("0.15")
"""della's half-width: an entry is kept with a probability from density - epsilon to density + epsilon, by its rank."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of mergekit, as far as Mergescope writes configs for it."""

    model_parameters: tuple[str, ...]
    """What each model of a config is given, in the order in which it is written."""
    parameters: tuple[str, ...]
    """What the whole config is given, in the order in which it is written."""
    draws: bool = False
    """Whether anything is random, so that the mask seed matters."""
    rescale: bool = False
    """mergekit's default of `rescale`; of no meaning where that is no parameter."""
    mixes: bool = False
    """Whether the two models themselves are mixed; the other methods add task vectors to a base."""

    @property
    def drops(self) -> bool:
        """Whether entries of the task vectors are dropped, so that there are densities."""
        return "density" in self.model_parameters


METHODS: dict[MethodName, Method] = {
    "dare_ties": Method(
        ("weight", "density"), ("lambda", "normalize", "rescale", "int8_mask"), draws=True, rescale=True
    ),
    "ties": Method(("weight", "density"), ("lambda", "normalize", "rescale", "int8_mask")),
    "dare_linear": Method(("weight", "density"), ("lambda", "normalize", "rescale"), draws=True, rescale=True),
    "task_arithmetic": Method(("weight",), ("lambda", "normalize")),
    "linear": Method(("weight",), ("normalize",), mixes=True),
    "slerp": Method((), ("t",), mixes=True),
    "della": Method(
        ("weight", "density", "epsilon"), ("lambda", "normalize", "rescale", "int8_mask"), draws=True, rescale=True
    ),
}
"""A parameter that mergekit takes and does nothing with (int8_mask where no sign is elected, rescale where nothing is
dropped) is left out here, so that a recipe cannot ask for it."""


def density_fits(density: Decimal) -> bool:
    """Whether della can keep this share: density +/- EPSILON must lie in (0, 1), and at 1 nothing is dropped."""
    return density == 1 or (density - EPSILON > 0 and density + EPSILON < 1)
