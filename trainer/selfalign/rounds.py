"""Rounds of self-alignment: instructions, two answers each, and the polarised ones kept, until there are enough.

After PT-ALIGN (arXiv 2502.08657): the model under training writes both sides of its own pairs from a few annotations.
A finished round is a file and is never made again; within a round every answer is on disk before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mergescope.ground.ids import content_id, text_hash
from mergescope.ground.progress import Reporter
from trainer.data.similarity import NEAR, NEAR_N, NearIndex
from trainer.pairs.pair import Pair
from trainer.pairs.pair_set import PairSet
from trainer.quarantine import ToxicRef
from trainer.selfalign.asking import Examples, instructions_of
from trainer.selfalign.config import SelfAlignSection
from trainer.selfalign.polarisation import Draft, Polarisation
from trainer.selfalign.prompts import Prompts
from trainer.selfalign.records import Constraints, Fated, Numbers, Round, fates, read_rounds, write_round
from trainer.selfalign.refining import Refinery, drafts
from trainer.selfalign.seeds import Instruction
from trainer.selfalign.variety import distincts, self_similarity, share
from trainer.selfalign.voice import Voice
from trainer.taxonomy.categories import LEVELS, NO_HARM

Stop = Literal["pairs", "novelty", "rounds"]
"""Why there is no further round: enough pairs, a round that repeats earlier ones, or as many rounds as the recipe
allows."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """All that rounds are made with."""

    section: SelfAlignSection
    prompts: Prompts
    voice: Voice
    polarisation: Polarisation
    seeds: Sequence[Instruction]
    evaluated: Iterable[str]
    """Prompts of the evaluation sets, which no pair may be near."""
    filed: Callable[[str], tuple[str, str, str] | None]
    """Where the taxonomy files a domain: risk area, harm type, specific harm; None: nowhere."""
    harms: int
    """Specific harms of the taxonomy."""
    folder: Path
    """The set's."""
    pairs: PairSet
    made_by: str
    """Name of the model."""
    reporter: Reporter


def self_align(shop: Workshop) -> tuple[list[Round], Stop]:
    """Make the rounds that are missing; returns all of them, and why there is no further one."""
    history = _History(shop, read_rounds(shop.folder))
    with shop.reporter.task("self-alignment", shop.section.pairs, "pairs") as task:
        task.advance(min(history.accepted, shop.section.pairs))
        while (stop := history.stop) is None:
            before = history.accepted
            made = _make_round(shop, history)
            write_round(shop.folder, made)
            history.add(made)
            task.advance(min(history.accepted, shop.section.pairs) - min(before, shop.section.pairs))
            shop.reporter.say(round_line(made, history.accepted))
    return history.rounds, stop


def first_constraints(section: SelfAlignSection, prompts: Prompts) -> Constraints:
    """Those of the first round: the recipe's, or the language's own."""
    return Constraints(
        section.positive_constraint or prompts.positive_constraint, section.toxic_constraint or prompts.toxic_constraint
    )


def round_line(made: Round, pairs: int) -> str:
    """A round in one line. pairs: of all rounds so far."""
    numbers = made.numbers
    told = ", ".join(f"{count} {fate}" for fate, count in sorted(fates([made]).items()))
    return (
        f"round {made.number}: {len(made.instructions)} instructions ({told or 'none'}); {pairs} pairs; "
        f"novelty {_percent(numbers.novelty)}, acceptance {_percent(numbers.acceptance)}, "
        f"distinct-2 {numbers.distinct[1]:.2f}, self-similarity {_plain(numbers.self_similarity)} "
        f"(toxic {_plain(numbers.toxic_self_similarity)}), coverage {_percent(numbers.coverage)}"
    )


@dataclass(slots=True)
class _History:
    """The rounds so far, and what the next one needs to know of them."""

    shop: Workshop
    rounds: list[Round]
    index: NearIndex = field(init=False)
    """Seed instructions and all that were made: none may come again."""
    evaluated: NearIndex = field(init=False)
    """Prompts of the evaluation sets, near as a training's own check finds them: it would stop at such a pair."""

    def __post_init__(self) -> None:
        self.index = NearIndex(float(self.shop.section.duplicate))
        self.evaluated = NearIndex(NEAR, NEAR_N)
        for number, prompt in enumerate(self.shop.evaluated):
            self.evaluated.add(str(number), prompt)
        for seed in self.shop.seeds:
            self.index.add("seed", seed.text)
        for made in self.rounds:
            self._take_in(made)

    def add(self, made: Round) -> None:
        """One more round is finished; its instructions are in the index already."""
        self.rounds.append(made)

    def _take_in(self, made: Round) -> None:
        for one in made.instructions:
            if one.fate != "repeats":
                self.index.add(str(made.number), one.text)

    @property
    def accepted(self) -> int:
        """Pairs so far."""
        return sum(len(made.accepted) for made in self.rounds)

    @property
    def examples(self) -> Examples:
        """What the next round draws examples from."""
        return Examples(self.shop.seeds, [one.instruction for made in self.rounds for one in made.accepted])

    @property
    def constraints(self) -> Constraints:
        """Those of the last round, or the first ones."""
        if self.rounds:
            return self.rounds[-1].constraints
        return first_constraints(self.shop.section, self.shop.prompts)

    @property
    def failures(self) -> list[Instruction]:
        """What the last round did not polarise."""
        last = self.rounds[-1].instructions if self.rounds else ()
        return [one.instruction for one in last if one.fate == "not_polarised"]

    @property
    def stop(self) -> Stop | None:
        """Why there is no further round; None: there is one."""
        section = self.shop.section
        if self.accepted >= section.pairs:
            return "pairs"
        if self.rounds and (self.rounds[-1].numbers.novelty or 0.0) < float(section.novelty):
            return "novelty"
        return "rounds" if len(self.rounds) >= section.rounds else None


def _make_round(shop: Workshop, history: _History) -> Round:
    number, constraints, refined = len(history.rounds), history.constraints, dict[str, str]()
    examples = history.examples
    if number and shop.section.refine:
        refinery = Refinery(shop.section, shop.prompts, shop.voice, shop.polarisation)
        known = [*examples.seeds, *examples.accepted]
        constraints, refined = refinery.refined(number, constraints, history.failures, known)
    asked = instructions_of(number, shop.section, shop.prompts, shop.voice, examples)
    fresh, dropped = _sifted(asked, number, history)
    made, toxic = _answered(shop, number, constraints, fresh)
    instructions = tuple(sorted([*made, *dropped], key=lambda one: asked.index(one.instruction)))
    numbers = _numbers(shop, instructions, toxic, history)
    return Round(number, constraints, refined, instructions, numbers)


def _sifted(asked: Sequence[Instruction], number: int, history: _History) -> tuple[list[Instruction], list[Fated]]:
    """Those that repeat nothing and are in no evaluation set, and the others with their fate."""
    fresh: list[Instruction] = []
    dropped: list[Fated] = []
    for one in asked:
        if history.index.one_near(one.text):
            dropped.append(Fated(one.domain, one.topic, one.text, "repeats"))
            continue
        history.index.add(str(number), one.text)
        if history.evaluated.one_near(one.text):
            dropped.append(Fated(one.domain, one.topic, one.text, "evaluated"))
        else:
            fresh.append(one)
    return fresh, dropped


def _answered(
    shop: Workshop, number: int, constraints: Constraints, fresh: Sequence[Instruction]
) -> tuple[list[Fated], list[str]]:
    """Each instruction with its fate once it is answered and filtered, and the toxic answers of the pairs."""
    made, said = drafts(shop.voice, constraints, [one.text for one in fresh], (number, "answers"))
    whole = [draft for draft in made if draft is not None]
    gaps = iter(shop.polarisation.gaps(whole))
    found: list[Fated] = []
    toxic: list[str] = []
    for one, draft, (positive, bad) in zip(fresh, made, said, strict=True):
        if draft is None:
            found.append(Fated(one.domain, one.topic, one.text, "unanswered", positive.error or bad.error))
            continue
        gap = next(gaps)
        if gap is None or gap < float(shop.section.filter.gap):
            fate: Literal["unscored", "not_polarised"] = "unscored" if gap is None else "not_polarised"
            found.append(Fated(one.domain, one.topic, one.text, fate, gap=gap))
            continue
        if bad.ref is None:
            raise ValueError("an answer that is not in quarantine")
        pair = _pair(shop, number, one, draft, bad.ref, gap)
        shop.pairs.add(pair)
        toxic.append(draft.toxic)
        found.append(Fated(one.domain, one.topic, one.text, "accepted", gap=gap, pair_id=pair.pair_id))
    return found, toxic


def _pair(shop: Workshop, number: int, one: Instruction, draft: Draft, rejected: ToxicRef, gap: float) -> Pair:
    category = shop.filed(one.domain) or (NO_HARM,) * len(LEVELS)
    rejected = replace(rejected, category=category[-1])
    return Pair(
        pair_id=content_id("sp1", [draft.instruction, text_hash(draft.positive), rejected.sha256]),
        kind="harmful",
        prompt=draft.instruction,
        chosen=draft.positive,
        rejected=rejected,
        meta=dict(zip(LEVELS, category, strict=True)),
        source="self-alignment",
        licence=shop.section.licence,
        made_by=shop.made_by,
        informs=False,
        toxic_constraint=draft.toxic_constraint,
        made={
            "checkpoint": shop.voice.checkpoint_id,
            "seed": shop.section.seed,
            "round": number,
            "domain": one.domain,
            "topic": one.topic,
            "positive_constraint": draft.positive_constraint,
            "filter": shop.section.filter.by,
            "gap": gap,
        },
    )


def _numbers(shop: Workshop, instructions: Sequence[Fated], toxic: Sequence[str], history: _History) -> Numbers:
    new = [one.text for one in instructions if one.fate != "repeats"]
    accepted = [one for one in instructions if one.fate == "accepted"]
    answered = [one for one in instructions if one.fate not in ("repeats", "evaluated")]
    pairs = [*accepted, *(one for made in history.rounds for one in made.accepted)]
    filed = {category for one in pairs if (category := shop.filed(one.domain)) is not None}
    return Numbers(
        novelty=share(len(new), len(instructions)),
        acceptance=share(len(accepted), len(answered)),
        distinct=distincts(new),
        self_similarity=self_similarity(new),
        toxic_distinct=distincts(toxic),
        toxic_self_similarity=self_similarity(toxic),
        coverage=round(len(filed) / shop.harms, 4),
        domains=len({one.domain for one in pairs}),
    )


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
