"""The model under training as it can be asked: an engine of this machine, or a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from eval.chat.budget import Budget, BudgetReachedError, Purse
from eval.config import EngineSection, SamplingSection
from eval.engine import PASSING_SERVED, Answer, AnswerError, Engine, Request, Sampling, open_engine, sampling_of
from eval.engines.served import ServedEngine
from eval.engines.served_identity import ServedIdentity, served_checkpoint, served_sampling
from eval.identity import Message
from eval.judges.cost import purse_of, tariff_of
from merge.identity import checkpoint_id
from mergescope.ground.ids import content_id
from mergescope.ground.seeds import derive_seed
from trainer.quarantine import Quarantine, ToxicRef
from trainer.selfalign.config import SelfAlignSection, ServedBase
from trainer.selfalign.notes import Notes

PRIVATE = "self-alignment"
"""Folder in the quarantine for responses of servers on their way; it is removed when the set is finished."""
Use = Literal["list", "answer"]
"""list: domains, topics, instructions, constraints. answer: what a pair is made of. All are kept in quarantine; only
what is read out of lists, and positive answers of pairs, leaves it."""
CATEGORY = "self-alignment"
"""Category of texts in quarantine of which no more is known yet."""


class Place(NamedTuple):
    """Where in the rounds something is said: it decides seed and name, so that a resumed round asks the same."""

    round: int
    step: str
    number: int


@dataclass(frozen=True, slots=True)
class Said:
    """What came of one request."""

    text: str
    """Empty where there is an error."""
    error: AnswerError | Literal["cut", "empty"] | None = None
    """Why there is no usable text; cut: it reached the longest length. empty: it says nothing. None: there is one."""
    ref: ToxicRef | None = None
    """Where the quarantine holds it; None where there is an error."""


@dataclass(frozen=True, slots=True)
class Voice:
    """The base, opened."""

    engine: Engine
    checkpoint_id: str
    """Of the base: the same model, the same pairs."""
    lists: Sampling
    answers: Sampling
    seed: int
    """Of all draws."""
    notes: Notes
    quarantine: Quarantine
    budget: Budget | None = None
    """Of what a server may spend; None: no limit."""

    def say(self, use: Use, places: Sequence[Place], talks: Sequence[Sequence[Message]]) -> list[Said]:
        """What the model says to each conversation, in their order; what an earlier run heard is not asked again.

        Errors that another run may not meet are not kept: it asks again, as far as the round is unfinished. Raises
        MergescopeError where the budget does not pay for all of it; what it paid for is kept.
        """
        keys = [content_id("sa1", [*place, [dict(m) for m in talk]]) for place, talk in zip(places, talks, strict=True)]
        open_keys = {key: i for i, key in enumerate(keys) if not self._heard(key)}
        wanted = list(open_keys.values())
        requests = [Request(tuple(talks[i]), derive_seed(self.seed, *places[i])) for i in wanted]
        lost: dict[int, Said] = {}
        unpaid = len(wanted)
        sampling = self.lists if use == "list" else self.answers
        for at, answer in self.engine.generate(requests, sampling) if requests else ():
            i = wanted[at]
            unpaid -= 1
            if answer.error_kind in PASSING_SERVED:
                lost[i] = Said("", answer.error_kind)
                continue
            self._keep(keys[i], use, answer)
        if unpaid and self.budget is not None:
            raise self.budget.reached(f"left of this step: {unpaid:,}")
        return [lost.get(i) or self._kept(key) for i, key in enumerate(keys)]

    def _heard(self, key: str) -> bool:
        """Whether an earlier run heard it and its text is still here: it may have been purged meanwhile."""
        if key not in self.notes:
            return False
        value = self.notes[key]
        return "error" in value or ("sha256" in value and self.quarantine.holds(value["sha256"]))

    def _keep(self, key: str, use: Use, answer: Answer) -> None:
        cut = answer.finish_reason == "length"
        unusable = "cut" if cut else None if answer.text.strip() else "empty"
        if answer.error_kind is not None or (unusable and use == "answer"):
            self.notes.add(key, {"error": answer.error_kind or unusable})
            return
        # a model may answer what it shall list: a list as it was said is no more fit to lie about than an answer
        whole = answer.text.rpartition("\n")[0] if cut else answer.text  # the last line of a cut list may lack its end
        self.notes.add(key, asdict(self.quarantine.put(whole, CATEGORY)))

    def _kept(self, key: str) -> Said:
        value = self.notes[key]
        if "error" in value:
            return Said("", value["error"])
        ref = ToxicRef(**value)
        return Said(self.quarantine.get(ref.sha256), ref=ref)


def own_voice(
    section: SelfAlignSection, engine: EngineSection, base: Path, notes: Notes, quarantine: Quarantine
) -> Voice:
    """The base opened from its folder. engine: `eval.engine`, where the section names none.

    Raises MergescopeError where it cannot be opened.
    """
    own = section.engine or engine
    lists, answers = (sampling_of(one, own, base, section.seed) for one in _samplings(section))
    return Voice(open_engine(own, base), checkpoint_id(base), lists, answers, section.seed, notes, quarantine)


def served_voice(
    section: SelfAlignSection,
    identity: ServedIdentity,
    notes: Notes,
    quarantine: Quarantine,
    budget: Budget | None = None,
) -> Voice:
    """The base behind the recipe's server; its responses are kept in quarantine on their way.

    Raises MergescopeError where the key's environment variable is not set, or the price that a budget needs.
    """
    if section.served is None:
        raise ValueError("the section names no server")
    lists, answers = (served_sampling(one, section.seed) for one in _samplings(section))
    served = section.served
    engine = ServedEngine(served, identity, quarantine.folder / PRIVATE, _purse(served, budget))
    return Voice(engine, identity.checkpoint_id, lists, answers, section.seed, notes, quarantine, budget)


def greeted(served: ServedBase, study: Path, budget: Budget | None = None) -> ServedIdentity:
    """Who answers at the server; the greeting is paid from the budget. study: the study's folder.

    Raises MergescopeError as `served_checkpoint` does, and where the budget does not pay for the greeting.
    """
    try:
        return served_checkpoint(served, study, _purse(served, budget))
    except BudgetReachedError:
        if budget is None:
            raise
        raise budget.reached("left: all from the greeting on") from None


def _purse(served: ServedBase, budget: Budget | None) -> Purse | None:
    return None if budget is None else purse_of(budget, tariff_of(served.price), served.model)


def _samplings(section: SelfAlignSection) -> tuple[SamplingSection, SamplingSection]:
    return (
        SamplingSection(temperature=section.temperature, max_tokens=section.list_tokens),
        SamplingSection(temperature=section.answer_temperature, max_tokens=section.answer_tokens),
    )
