"""What a recipe's `data.make` asks for, read and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from eval.config import OpenAIJudge
from mergescope.ground.errors import RecipeError
from mergescope.inputs import prompts_kept_out
from mergescope.study import Study
from trainer.synthesis.config import MakeSection
from trainer.synthesis.drafting import Categories, categories_in
from trainer.synthesis.drafts import Drafts
from trainer.synthesis.making import DRAFTS
from trainer.synthesis.material import Asked, Material, asked, read_material


@dataclass(frozen=True, slots=True)
class DataOrder:
    """All that making data needs to know, servers apart."""

    study: Study
    make: MakeSection
    judge: OpenAIJudge | None
    """What ranks candidates; None where none are made."""
    material: Material
    categories: Categories
    kept_out: Sequence[str]
    """Prompts of the evaluation: questions that are one of them, or nearly, get no pairs."""

    @classmethod
    def of(cls, study: Study) -> Self:
        """The order of a recipe.

        Raises RecipeError where it does not say what to make, or by whom candidates are ranked; DataError for the first
        file that cannot be read.
        """
        make = section_of(study)
        judge = judge_of(study, make)
        material = read_material(make, study.resolve)
        return cls(study, make, judge, material, categories_in(make.language), prompts_kept_out(study))

    def asked(self) -> Asked:
        """The questions that there are now."""
        drafts = Drafts(self.study.folder / "data" / DRAFTS)
        return asked(self.material, drafts, unchecked=self.make.unchecked, kept_out=self.kept_out)


def section_of(study: Study) -> MakeSection:
    """The recipe's `data.make`; raises RecipeError where there is none."""
    data = study.recipe.data
    if data is None or data.make is None:
        cure = "add `data.make`: docs/training-data.md shows one"
        raise RecipeError("the recipe does not say what to make", where=f"{study.file}: data.make", cure=cure)
    return data.make


def judge_of(study: Study, make: MakeSection) -> OpenAIJudge | None:
    """What ranks candidates; None where the recipe makes none. Raises RecipeError where it names no LLM."""
    if make.second is None:
        return None
    judges = [make.judge, *study.recipe.eval.judges]
    if (found := next((judge for judge in judges if isinstance(judge, OpenAIJudge)), None)) is None:
        cure = "name one here, or an LLM in `eval.judges`"
        raise RecipeError("no judge ranks the candidates", where=f"{study.file}: data.make.judge", cure=cure)
    return found
