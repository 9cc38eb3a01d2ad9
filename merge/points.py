"""Merge points: one merge's full setting, its weights and its id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Literal

from merge.config import MergeSection
from merge.methods import METHODS, MethodName
from mergescope.ground.ids import content_id

Mode = Literal["complementary", "additive", "into-useful"]
Role = Literal["base", "safe", "useful"]
Way = Literal["blend", "mergekit"]


@dataclass(frozen=True, slots=True)
class MergePoint:
    """One merge's full setting. Decimals have at most 6 digits after the point."""

    method: MethodName
    """mergekit's name of the method."""
    mode: Mode
    """How the ratio turns into the two models' weights."""
    ratio: Decimal
    """Weight of model-safe, 0 to 1."""
    density_safe: Decimal
    """Share of model-safe's task vector kept, above 0 and at most 1; 1 where the method drops nothing."""
    density_useful: Decimal
    """Share of model-useful's task vector kept, above 0 and at most 1; 1 where the method drops nothing."""
    lambda_: Decimal
    """Factor on the merged task vector."""
    mask_seed: int
    """mergekit's --random-seed."""
    normalize: bool = False
    """mergekit's normalize; with true, entries kept by one model alone ignore the ratio."""
    rescale: bool = True
    """mergekit's rescale: each kept task vector is scaled back to its L1 norm; false where the method has none."""
    int8_mask: bool = False
    """mergekit's int8_mask: signs are elected in 8 bits."""
    gradient: tuple[Decimal, ...] = ()
    """Factors on the ratio, 0 to 1, from the first layer to the last, interpolated by mergekit; empty: none."""

    @property
    def point_id(self) -> str:
        """The id of the setting alone; the merge's own id also holds its inputs (see `merge.identity`)."""
        return content_id("p2", asdict(self))

    @property
    def way(self) -> Way:
        """blend where ours is exact: the ratio acts after all that is random or summed; else mergekit itself."""
        blends = self.method == "dare_ties" and not (self.normalize or self.int8_mask or self.gradient)
        return "blend" if blends else "mergekit"

    @property
    def base_role(self) -> Role:
        """The model that task vectors are counted from; model-useful where the method mixes the two fine-tunes."""
        return "useful" if self.mode == "into-useful" or METHODS[self.method].mixes else "base"

    @property
    def term_roles(self) -> tuple[Role, ...]:
        """The models added to that one, in the order in which mergekit draws their masks."""
        return ("safe",) if self.base_role == "useful" else ("safe", "useful")

    @property
    def listed_roles(self) -> tuple[Role, ...]:
        """The models of the config's list, in order: mergekit adds the base of task vectors by itself."""
        return ("useful", "safe") if METHODS[self.method].mixes else self.term_roles

    def weight(self, role: Role) -> Decimal:
        """The weight of one listed model, computed in decimal; raises ValueError for one that has none (a slip)."""
        return self._weight_at(self.ratio, role)

    def weights(self, role: Role) -> tuple[Decimal, ...]:
        """The weights of one listed model from the first layer to the last; a single one where all layers share it."""
        return tuple(self._weight_at(self.ratio * factor, role) for factor in self.gradient or (Decimal(1),))

    def _weight_at(self, ratio: Decimal, role: Role) -> Decimal:
        if role not in self.listed_roles:
            raise ValueError(f"{role} is no term of mode {self.mode}")
        if role == "safe":
            return ratio
        return 1 - ratio if self.mode == "complementary" else Decimal(1)

    def density(self, role: Role) -> Decimal:
        """The share of one term's task vector that is kept, above 0 and at most 1."""
        return self.density_safe if role == "safe" else self.density_useful

    @property
    def label(self) -> str:
        """Short name for tables and logs: `r 0.45`."""
        return f"r {self.ratio:.2f}" if self.ratio == round(self.ratio, 2) else f"r {self.ratio}"

    @property
    def summary(self) -> str:
        """The setting in words, without what its method does not have."""
        method = METHODS[self.method]
        parts = {
            f"mode {self.mode}": True,
            f"ratio {self.ratio} (the weight of model-safe)": True,
            f"densities {self.density_safe} (safe) and {self.density_useful} (useful)": method.drops,
            f"lambda {self.lambda_}": "lambda" in method.parameters,
            f"mask seed {self.mask_seed}": method.draws,
            "normalized": self.normalize,
            "not rescaled": method.rescale and not self.rescale,
            "rescaled": self.rescale and not method.rescale,
            "signs elected in 8 bits": self.int8_mask,
            f"layer factors {', '.join(map(str, self.gradient))}": bool(self.gradient),
        }
        return f"{self.method} of model-safe and model-useful, " + ", ".join(p for p, said in parts.items() if said)


def grid(section: MergeSection) -> list[MergePoint]:
    """All merge points of a recipe, mask seed after mask seed, ratios rising."""
    method = METHODS[section.method]
    return [
        MergePoint(
            method=section.method,
            mode=section.mode,
            ratio=ratio,
            density_safe=section.density_safe if method.drops else Decimal(1),
            density_useful=section.density_useful if method.drops else Decimal(1),
            lambda_=section.lambda_,
            mask_seed=seed,
            normalize=section.normalize,
            rescale=method.rescale if section.rescale is None else section.rescale,
            int8_mask=section.int8_mask,
            gradient=section.gradient,
        )
        for seed in section.mask_seeds
        for ratio in section.ratio_list()
    ]


def one_of_each_seed(points: Iterable[MergePoint]) -> list[MergePoint]:
    """The first point of each mask seed, in order."""
    first: dict[int, MergePoint] = {}
    for point in points:
        first.setdefault(point.mask_seed, point)
    return list(first.values())
