"""The `data:` section of a recipe: what is made to train on, and how long toxic text is kept."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from trainer.selfalign.config import SelfAlignSection
from trainer.synthesis.config import MakeSection


class DataSection(BaseModel):
    """Preference data that the study makes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retention_days: int = Field(default=90, ge=1, le=3650)
    """Days after its last use for which a toxic text is kept; texts of unfinished trainings stay longer."""
    make: MakeSection | None = None
    """What `mergescope data make` makes with served models; None: nothing."""
    selfalign: SelfAlignSection | None = None
    """Pairs that the base writes itself, by `mergescope data selfalign`; None: none."""
