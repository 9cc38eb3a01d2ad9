"""From domains to topics to instructions: what a round asks the model for, and what it takes of the answers."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from eval.identity import Message
from mergescope.ground.seeds import derive_seed
from trainer.selfalign.config import SelfAlignSection
from trainer.selfalign.prompts import Prompts
from trainer.selfalign.reading import distinct, listed
from trainer.selfalign.seeds import Instruction
from trainer.selfalign.voice import Place, Voice

FROM_SEEDS = 2 / 3
"""Share of the examples that are seed annotations; the others come from accepted pairs (as in self-instruct)."""


@dataclass(frozen=True, slots=True)
class Examples:
    """What examples are drawn from."""

    seeds: Sequence[Instruction]
    accepted: Sequence[Instruction]
    """Instructions of earlier rounds that became pairs."""

    def drawn(self, count: int, rng: random.Random) -> list[Instruction]:
        """`count` of them, or as many as there are, in random order."""
        made = min(len(self.accepted), round(count * (1 - FROM_SEEDS)))
        chosen = rng.sample(list(self.seeds), min(count - made, len(self.seeds)))
        chosen += rng.sample(list(self.accepted), made)
        return rng.sample(chosen, len(chosen))


def instructions_of(
    number: int, section: SelfAlignSection, prompts: Prompts, voice: Voice, examples: Examples
) -> list[Instruction]:
    """The instructions of round `number`, in the model's own words, each once."""
    asker = _Asker(number, section, prompts, voice, examples)
    domains = asker.domains()
    topics = asker.topics(domains)
    return asker.instructions(topics)


@dataclass(frozen=True, slots=True)
class _Asker:
    """One round's questions."""

    round: int
    section: SelfAlignSection
    prompts: Prompts
    voice: Voice
    examples: Examples

    def domains(self) -> list[str]:
        """As many as the recipe wants, drawn from several lists: each model's first few domains are always the same."""
        wanted = self.section.domains
        texts = [self.prompts.domains(wanted, [one.domain for one in self._drawn("domains", i)]) for i in range(wanted)]
        found = distinct(entry for entries in self._lists("domains", texts) for entry in entries)
        return self._rng("domains drawn").sample(found, min(wanted, len(found)))

    def topics(self, domains: Sequence[str]) -> list[Instruction]:
        """Topics of each domain; their texts are empty yet."""
        wanted = self.section.topics
        texts = [
            self.prompts.topics(domain, wanted, [one.topic for one in self._drawn("topics", i)])
            for i, domain in enumerate(domains)
        ]
        lists = self._lists("topics", texts)
        return [
            Instruction(domain, topic, "")
            for domain, entries in zip(domains, lists, strict=True)
            for topic in entries[:wanted]
        ]

    def instructions(self, topics: Sequence[Instruction]) -> list[Instruction]:
        """Instructions on each topic; one that two topics gave counts for the first."""
        wanted = self.section.instructions
        texts = [
            self.prompts.instructions(one.topic, wanted, [e.text for e in self._drawn("instructions", i)])
            for i, one in enumerate(topics)
        ]
        lists = self._lists("instructions", texts)
        of_topics = list(zip(topics, lists, strict=True))
        found = {text: topic for topic, entries in reversed(of_topics) for text in entries[:wanted]}
        ordered = distinct(text for entries in lists for text in entries[:wanted])
        return [Instruction(found[text].domain, found[text].topic, text) for text in ordered]

    def _lists(self, step: str, texts: Sequence[str]) -> list[list[str]]:
        places = [Place(self.round, step, i) for i in range(len(texts))]
        talks: list[list[Message]] = [[{"role": "user", "content": text}] for text in texts]
        return [listed(said.text) for said in self.voice.say("list", places, talks)]

    def _drawn(self, step: str, number: int) -> list[Instruction]:
        return self.examples.drawn(self.section.examples, self._rng(step, number))

    def _rng(self, *names: str | int) -> random.Random:
        return random.Random(derive_seed(self.section.seed, "examples", self.round, *names))
