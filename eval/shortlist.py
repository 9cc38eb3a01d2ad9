"""The `eval.shortlist:` section of a recipe."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mergescope.ground.ids import decimal6

Ratio = Annotated[Decimal, BeforeValidator(decimal6), Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class ShortlistSection(BaseModel):
    """Ratios at which mask seeds, prompts, samples and judgements are crossed, to tell their noise apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: tuple[Ratio, ...] = Field(min_length=1)
    """Ratios of the merge grid; they differ."""
    mask_seeds: Annotated[int, Field(ge=1, le=100)] | tuple[Seed, ...] = 3
    """How many mask seeds these ratios have in all (the smallest numbers from 1 on join `merge.mask_seeds`), or which
    ones join them. Their spread is estimated from three on."""
    samples: int | None = Field(default=None, ge=1, le=100)
    """Answers per prompt at these ratios, at least as many as elsewhere; None: as many."""
    judge_repeats: int = Field(default=1, ge=1, le=25)
    """Judgements of an answer at these ratios by each judge that asks a server; judges that repeat more often anyway do
    so here too. Those beyond the judge's own `repeats` split the noise and change no metric."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.points)) < len(self.points):
            raise ValueError("points repeat")
        if not isinstance(self.mask_seeds, int) and len(set(self.mask_seeds)) < len(self.mask_seeds):
            raise ValueError("mask_seeds must be a number, or different seeds")
        return self

    def further_seeds(self, own: Sequence[int]) -> tuple[int, ...]:
        """The mask seeds that join `own`, those of the whole grid."""
        if isinstance(self.mask_seeds, int):
            unused = (seed for seed in itertools.count(1) if seed not in own)
            return tuple(itertools.islice(unused, max(0, self.mask_seeds - len(own))))
        return tuple(seed for seed in self.mask_seeds if seed not in own)
