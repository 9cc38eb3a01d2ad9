"""The `merge:` section of a recipe."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from merge.methods import EPSILON, METHODS, MethodName, density_fits
from mergescope.ground.ids import decimal6


def _in_unit(value: Decimal) -> Decimal:
    if not 0 <= value <= 1:
        raise ValueError("must be between 0 and 1")
    return value


def _density(value: Decimal) -> Decimal:
    if not 0 < value <= 1:
        raise ValueError("must be above 0 and at most 1")
    return value


Decimal6 = Annotated[Decimal, BeforeValidator(decimal6)]
Ratio = Annotated[Decimal6, AfterValidator(_in_unit)]
Density = Annotated[Decimal6, AfterValidator(_density)]


class RatioRange(BaseModel):
    """Evenly spaced ratios."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Ratio = Decimal(0)
    """First ratio, 0 to 1."""
    stop: Ratio = Decimal(1)
    """Last ratio, 0 to 1, included."""
    steps: int = Field(ge=2, le=1001)
    """How many ratios, both ends counted."""

    def ratios(self) -> list[Decimal]:
        """The ratios in rising order, rounded to 6 digits."""
        step = (self.stop - self.start) / (self.steps - 1)
        return [decimal6(round(self.start + step * i, 6)) for i in range(self.steps)]

    @model_validator(mode="after")
    def _rising(self) -> RatioRange:
        if self.stop <= self.start:
            raise ValueError("stop must be above start")
        return self


class MergeSection(BaseModel):
    """How model-safe and model-useful are merged, and at which ratios."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: MethodName = "dare_ties"
    """The merge method, under mergekit's name. Only dare_ties blends in memory; the others run mergekit per point."""
    mode: Literal["complementary", "additive", "into-useful"] = "complementary"
    """Weights of the two task vectors: r and 1 - r; r and 1; or r times (safe - useful) added to model-useful."""
    ratios: RatioRange | tuple[Ratio, ...] = RatioRange(steps=11)
    """The weights r of model-safe, 0 to 1: a list, or start, stop and steps."""
    density_safe: Density = Decimal("0.5")
    """Share of model-safe's task-vector entries that DARE keeps, above 0 and at most 1."""
    density_useful: Density = Decimal("0.5")
    """Share of model-useful's task-vector entries that DARE keeps, above 0 and at most 1."""
    lambda_: Decimal6 = Field(default=Decimal(1), alias="lambda")
    """Factor on the merged task vector."""
    mask_seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = (1,)
    """Seeds of DARE's random masks; each makes its own curve."""
    trust_remote_code: bool = False
    """Whether code that comes with the models (auto_map in config.json) may run, here and in the exported command."""
    threads: int = Field(default=1, ge=1, le=1024)
    """mergekit's --num-threads; part of the merge's identity, since the scales k depend on it in the last bit."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where merges are blended, with the same bits; masks are drawn on the CPU."""
    normalize: bool = False
    """mergekit's normalize: divide by the sum of the weights that took part. Runs mergekit for every point."""
    rescale: bool | None = None
    """mergekit's rescale: each thinned task vector gets its L1 norm back; None is the method's own default."""
    int8_mask: bool = False
    """mergekit's int8_mask: elect signs in 8 bits. Runs mergekit for every point."""
    gradient: tuple[Ratio, ...] = ()
    """Factors on the ratio, 0 to 1, from the first layer to the last; empty: none. Runs mergekit for every point."""

    @model_validator(mode="after")
    def _distinct(self) -> MergeSection:
        ratios = self.ratio_list()
        if not ratios:
            raise ValueError("ratios must not be empty")
        if len(set(ratios)) < len(ratios):
            raise ValueError("ratios repeat")
        if not self.mask_seeds or len(set(self.mask_seeds)) < len(self.mask_seeds):
            raise ValueError("mask_seeds must be one or more different seeds")
        return self

    @model_validator(mode="after")
    def _fits_the_method(self) -> MergeSection:
        name, method = self.method, METHODS[self.method]
        if method.mixes and self.mode != "complementary":
            raise ValueError(f"mode must be complementary: {name} mixes the two models and adds no task vectors")
        if not method.draws and len(self.mask_seeds) > 1:
            raise ValueError(f"mask_seeds must hold one seed: {name} draws nothing, so others make the same merges")
        for key in ("normalize", "rescale", "int8_mask"):
            if getattr(self, key) and key not in method.parameters:
                raise ValueError(f"{key} must be left out: {name} does nothing with it")
        if self.lambda_ != 1 and "lambda" not in method.parameters:
            raise ValueError(f"lambda must be left out: {name} adds no task vectors")
        if self.normalize and self.mode == "into-useful":
            raise ValueError("normalize must be false in mode into-useful: dividing by the one weight undoes the ratio")
        if len(self.gradient) == 1:
            raise ValueError("gradient must hold two factors or more, or none: one factor is a smaller ratio")
        return self

    @model_validator(mode="after")
    def _densities_fit(self) -> MergeSection:
        for key, density in (("density_safe", self.density_safe), ("density_useful", self.density_useful)):
            if not METHODS[self.method].drops and key in self.model_fields_set and density != 1:
                raise ValueError(f"{key} must be left out: {self.method} drops nothing")
            if self.method == "della" and not density_fits(density):
                low, high = EPSILON, 1 - EPSILON
                raise ValueError(f"{key} must be above {low} and below {high}, or 1: della's epsilon is {low}")
        return self

    def ratio_list(self) -> list[Decimal]:
        """The grid's ratios in rising order."""
        return self.ratios.ratios() if isinstance(self.ratios, RatioRange) else sorted(self.ratios)
