"""Merge points: one merge's full setting, its weights and its id."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Literal

from merge.config import MergeSection
from mergescope.ground.ids import content_id

Mode = Literal["complementary", "additive", "into-useful"]
Role = Literal["base", "safe", "useful"]


@dataclass(frozen=True, slots=True)
class MergePoint:
    """One merge's full setting. Decimals have at most 6 digits after the point."""

    method: str
    """mergekit's name of the method."""
    mode: Mode
    """How the ratio turns into the two models' weights."""
    ratio: Decimal
    """Weight of model-safe, 0 to 1."""
    density_safe: Decimal
    """Share of model-safe's task vector kept, above 0 and at most 1."""
    density_useful: Decimal
    """Share of model-useful's task vector kept, above 0 and at most 1."""
    lambda_: Decimal
    """Factor on the merged task vector."""
    mask_seed: int
    """mergekit's --random-seed."""
    normalize: bool = False
    """mergekit's normalize; with true, entries kept by one model alone ignore the ratio."""
    rescale: bool = True
    """mergekit's rescale: each kept task vector is scaled back to its L1 norm."""

    @property
    def point_id(self) -> str:
        """The id of the setting alone; the merge's own id also holds its inputs (see `merge.masks`)."""
        return content_id("p1", asdict(self))

    @property
    def weight_safe(self) -> Decimal:
        """Weight of model-safe's task vector (of safe minus useful in mode into-useful)."""
        return self.ratio

    @property
    def weight_useful(self) -> Decimal | None:
        """Weight of model-useful's task vector, computed in decimal; None in mode into-useful, which has one."""
        match self.mode:
            case "complementary":
                return 1 - self.ratio
            case "additive":
                return Decimal(1)
            case "into-useful":
                return None

    @property
    def base_role(self) -> Role:
        """The model that the task vectors are counted from: model-useful in mode into-useful, else the base."""
        return "useful" if self.mode == "into-useful" else "base"

    @property
    def term_roles(self) -> tuple[Role, ...]:
        """The models whose task vectors are added, in the order in which mergekit draws their masks."""
        return ("safe",) if self.mode == "into-useful" else ("safe", "useful")

    def weight(self, role: Role) -> Decimal:
        """The weight of one term; raises ValueError for a model that is none (a slip of the caller)."""
        value = {"safe": self.weight_safe, "useful": self.weight_useful}.get(role)
        if value is None:
            raise ValueError(f"{role} is no term of mode {self.mode}")
        return value

    def density(self, role: Role) -> Decimal:
        """The share of one term's task vector that is kept, above 0 and at most 1."""
        return self.density_safe if role == "safe" else self.density_useful

    @property
    def label(self) -> str:
        """Short name for tables and logs: `r 0.45`."""
        return f"r {self.ratio:.2f}" if self.ratio == round(self.ratio, 2) else f"r {self.ratio}"


def grid(section: MergeSection) -> list[MergePoint]:
    """All merge points of a recipe, mask seed after mask seed, ratios rising."""
    return [
        MergePoint(
            method=section.method,
            mode=section.mode,
            ratio=ratio,
            density_safe=section.density_safe,
            density_useful=section.density_useful,
            lambda_=section.lambda_,
            mask_seed=seed,
        )
        for seed in section.mask_seeds
        for ratio in section.ratio_list()
    ]
