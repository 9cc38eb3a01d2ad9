"""The stage in which the base of a study makes pairs of itself, and the hosts that it sends texts to."""

from __future__ import annotations

from pathlib import Path

from eval.chat.place import leaves_machine
from eval.config import OpenAIJudge
from mergescope.consent import agree
from mergescope.ground.errors import RecipeError
from mergescope.ground.progress import Reporter
from mergescope.hosts import agreed_on, host_of_address
from mergescope.inputs import held_out_prompts
from mergescope.study import Study
from trainer.quarantine import Quarantine
from trainer.quarantine_lock import in_use
from trainer.selfalign.config import SELF_ALIGNED, SelfAlignSection
from trainer.selfalign.forecast import Forecast, forecast

RUBRIC_TOKENS = 1_500
"""Tokens of a rubric and an instruction, generously."""


def section_of(study: Study) -> SelfAlignSection:
    """The recipe's `data.selfalign`; raises RecipeError where there is none."""
    data = study.recipe.data
    if data is None or data.selfalign is None:
        cure = "add the section, see docs/self-alignment.md"
        raise RecipeError("the recipe says nothing of self-alignment", where=f"{study.file}: data.selfalign", cure=cure)
    return data.selfalign


def make_pairs(study: Study, reporter: Reporter) -> Path:
    """Make the set, or go on with it; returns its folder. Hosts have been agreed to before."""
    from merge.sources import local_folder
    from trainer.selfalign.filing import filed, harm_count
    from trainer.selfalign.making import Grounds, make_set

    section = section_of(study)
    base = study.model("base")
    grounds = Grounds(
        study=study.folder,
        folder=study.folder / "data" / SELF_ALIGNED,
        seeds=study.resolve(section.seeds),
        base=None if section.served is not None else local_folder(base),
        engine=study.recipe.eval.engine,
        evaluated=held_out_prompts(study),
        made_by=name_of(study, section),
        filed=filed,
        harms=harm_count(),
    )
    with in_use(Quarantine(study.folder)):
        return make_set(section, grounds, reporter)


def name_of(study: Study, section: SelfAlignSection) -> str:
    """What the pairs' `made_by` calls the model: its name at the server or on the Hub, or the study's own base."""
    if section.served is not None:
        return section.served.model
    return study.recipe.models.base or f"base of {study.recipe.study}"


def ask_about_hosts(study: Study, *, yes: bool) -> None:
    """Tell of each host that self-alignment sends texts to for the first time, and have the user agree.

    Raises MergescopeError where the user says no, or where there is no terminal to ask on.
    """
    section = section_of(study)
    for host, told in host_texts(section).items():
        if leaves_machine(host) and agreed_on(study, host) is None:
            agree(study, host, told, yes=yes)


def host_texts(section: SelfAlignSection) -> dict[str, str]:
    """What is sent to each host, how often and for how much at most."""
    most = forecast(section)
    told: dict[str, list[str]] = {}
    if section.served is not None:
        words = f"at most {most.most_requests:,} requests to {section.served.model}; no price is given for it"
        told.setdefault(host_of_address(str(section.served.base_url)), []).append(words)
    judge = section.filter.judge if section.filter.by == "judge" else None
    if isinstance(judge, OpenAIJudge):
        words = f"at most {most.most_judged:,} questions to {judge.model}, {_cost(judge, section, most)}"
        told.setdefault(host_of_address(str(judge.base_url)), []).append(words)
    opening = "harmful instructions, and answers that are meant to be toxic, go to"
    return {host: f"{opening} {host}: {'; '.join(words)}" for host, words in told.items()}


def _cost(judge: OpenAIJudge, section: SelfAlignSection, most: Forecast) -> str:
    if judge.price is None:
        return f"no price is given for {judge.model}"
    # a judge reads the instruction, the answer and its rubric, of which the answer is the longest part that varies
    read = section.answer_tokens + RUBRIC_TOKENS
    cost = most.most_judged * (read * judge.price.prompt + judge.max_tokens * judge.price.completion) / 1_000_000
    return f"at most {judge.price.currency} {cost:,.2f}"
