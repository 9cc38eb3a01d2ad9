"""`mergescope data selfalign`: make the pairs of a study's own base, or say what that takes."""

from __future__ import annotations

from pathlib import Path

from mergescope.retention import open_study
from mergescope.self_alignment import host_texts, section_of
from mergescope.spending import BudgetLimit
from mergescope.stages import do
from trainer.selfalign.config import SELF_ALIGNED, SelfAlignSection
from trainer.selfalign.forecast import forecast


def self_align(file: Path, store: Path, limit: BudgetLimit | None = None, *, plan: bool, yes: bool) -> None:
    """Make the pairs, and the world and base before them as far as the recipe makes those; or only say what it takes.

    limit: of what served model and judge may spend together. yes: texts may go to the recipe's hosts without a
    question. Raises the MergescopeError family, a budget that is reached included.
    """
    study = open_study(file)
    section = section_of(study)
    if plan:
        print(plan_text(section))
        return
    do(study, store, ["train"], limit=limit, until=SELF_ALIGNED, yes=yes)


def plan_text(section: SelfAlignSection) -> str:
    """What self-alignment takes, in lines."""
    most = forecast(section)
    filter_by = "likelihoods" if section.filter.by == "likelihood" else f"{section.filter.judge.kind} judge"
    lines = [
        f"pairs wanted      {section.pairs:,}",
        f"rounds            {most.fewest_rounds} to {most.most_rounds}",
        f"a round           at most {most.instructions:,} instructions, {most.requests:,} requests to the model, "
        f"{most.tokens:,} tokens written",
        f"filter            {filter_by}, gap {section.filter.gap}; at most {most.verdicts:,} verdicts a round",
        f"stops             at {section.pairs:,} pairs, below novelty {section.novelty}, at {most.most_rounds} rounds",
        *(f"sent              {told}" for told in host_texts(section).values()),
    ]
    return "\n".join(lines)
