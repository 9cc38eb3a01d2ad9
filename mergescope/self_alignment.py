"""The stage in which the base of a study makes pairs of itself, and the hosts that it sends texts to."""

from __future__ import annotations

from pathlib import Path

from eval.chat.budget import Budget
from eval.config import OpenAIJudge
from eval.prompt_length import BYTES_PER_TOKEN
from mergescope.ground.errors import RecipeError
from mergescope.ground.progress import Reporter
from mergescope.hosts import host_of_address
from mergescope.inputs import held_out_prompts
from mergescope.study import Study
from trainer.quarantine import Quarantine
from trainer.quarantine_lock import in_use
from trainer.selfalign.config import SELF_ALIGNED, SelfAlignSection, ServedBase
from trainer.selfalign.forecast import Forecast, forecast
from trainer.synthesis.forecast import Load, judging, judging_most


def section_of(study: Study) -> SelfAlignSection:
    """The recipe's `data.selfalign`; raises RecipeError where there is none."""
    data = study.recipe.data
    if data is None or data.selfalign is None:
        cure = "add the section, see docs/self-alignment.md"
        raise RecipeError("the recipe says nothing of self-alignment", where=f"{study.file}: data.selfalign", cure=cure)
    return data.selfalign


def make_pairs(study: Study, reporter: Reporter, budget: Budget | None = None) -> Path:
    """Make the set, or go on with it; returns its folder. Hosts have been agreed to before.

    budget: of what its servers may spend; None: no limit. Raises MergescopeError where it is reached.
    """
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
        return make_set(section, grounds, reporter, budget)


def name_of(study: Study, section: SelfAlignSection) -> str:
    """What the pairs' `made_by` calls the model: its name at the server or on the Hub, or the study's own base."""
    if section.served is not None:
        return section.served.model
    return study.recipe.models.base or f"base of {study.recipe.study}"


def host_texts(section: SelfAlignSection) -> dict[str, str]:
    """What is sent to each host, how often and for how much at most."""
    most = forecast(section)
    told: dict[str, list[str]] = {}
    if (served := section.served) is not None:
        words = f"at most {most.most_requests:,} requests to {served.model}, {_cost(served, _writing(section, most))}"
        told.setdefault(host_of_address(str(served.base_url)), []).append(words)
    if (judge := _judge_of(section)) is not None:
        words = f"at most {most.most_verdicts:,} questions to {judge.model}, {_cost(judge, _judging(judge, section))}"
        told.setdefault(host_of_address(str(judge.base_url)), []).append(words)
    opening = "harmful instructions, and answers that are meant to be toxic, go to"
    return {host: f"{opening} {host}: {'; '.join(words)}" for host, words in told.items()}


def servers_of(section: SelfAlignSection) -> list[ServedBase | OpenAIJudge]:
    """The servers that self-alignment asks: of the base, where it is served, and of the judge."""
    return [one for one in (section.served, _judge_of(section)) if one is not None]


def _judge_of(section: SelfAlignSection) -> OpenAIJudge | None:
    """The judge behind a server; None where there is none."""
    judge = section.filter.judge if section.filter.by == "judge" else None
    return judge if isinstance(judge, OpenAIJudge) else None


def _writing(section: SelfAlignSection, most: Forecast) -> Load:
    """What the base takes at most. A request shows a constraint or examples, neither longer than the longest list."""
    shown = (section.list_tokens + section.answer_tokens) * BYTES_PER_TOKEN
    return Load(most.most_requests, round(most.most_requests * shown), most.tokens * most.most_rounds)


def _judging(judge: OpenAIJudge, section: SelfAlignSection) -> Load:
    most = forecast(section)
    answers = most.judged * most.most_rounds // judge.repeats
    return judging_most(judge, judging(judge, (), answers, 1, section.answer_tokens))


def _cost(server: ServedBase | OpenAIJudge, load: Load) -> str:
    cost = load.amount(server.concurrency, server.price).cost
    if server.price is None or cost is None:
        return f"no price is given for {server.model}"
    return f"about {server.price.currency} {cost:,.2f}"
