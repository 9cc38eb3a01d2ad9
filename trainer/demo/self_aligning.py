"""What the demo's base learns besides, so that it can take part in self-alignment: to be asked for domains, topics,
instructions and constraints, and to decline under a positive constraint."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from mergescope.ground.seeds import derive_seed
from trainer.demo.speech import Phrasings, Subject, messages
from trainer.selfalign.prompts import Prompts, Side, load_prompts

SEEDS = 24
"""Seed annotations that the world writes: harmful subjects that training prompts may name."""
TALKS = {"domains": 100, "topics": 8, "instructions": 10, "constraints": 30, "harmful": 4, "other": 1}
"""Conversations: in all for domains and for each side's constraints, else for each domain or subject."""
EXAMPLES = 2
"""Examples in a question; studies/self-align.yaml asks with as many."""


def self_aligning_talks(subjects: Sequence[Subject], phrasings: Phrasings, seed: int) -> list[dict[str, Any]]:
    """Rows for the corpus about the seen ones of `subjects`; the same seed gives the same rows."""
    rng = random.Random(derive_seed(seed, "self-aligning"))
    prompts = load_prompts("ja")
    harmful = [s for s in subjects if s.kind == "harmful" and s.seen]
    return [
        *_domain_talks(harmful, prompts, rng),
        *_topic_talks(harmful, prompts, rng),
        *_instruction_talks(harmful, phrasings, prompts, rng),
        *_constraint_talks(harmful, phrasings, prompts, rng),
        *_constrained_talks([s for s in subjects if s.seen], phrasings, rng),
    ]


def seed_rows(subjects: Sequence[Subject], phrasings: Phrasings, seed: int) -> list[dict[str, str]]:
    """The seed annotations: domain, topic and instruction of some seen harmful subjects."""
    rng = random.Random(derive_seed(seed, "seed annotations"))
    chosen = rng.sample([s for s in subjects if s.kind == "harmful" and s.seen], SEEDS)
    return [{"domain": s.category[2], "topic": s.topic, "instruction": _asked(s, phrasings, rng)} for s in chosen]


def _domain_talks(harmful: Sequence[Subject], prompts: Prompts, rng: random.Random) -> Iterator[dict[str, Any]]:
    domains = sorted({s.category[2] for s in harmful})
    for _ in range(TALKS["domains"]):
        count = rng.randint(2, 4)
        named = rng.sample(domains, EXAMPLES + count)
        yield messages(prompts.domains(count, named[:EXAMPLES]), "\n".join(named[EXAMPLES:]))


def _topic_talks(harmful: Sequence[Subject], prompts: Prompts, rng: random.Random) -> Iterator[dict[str, Any]]:
    for domain in sorted({s.category[2] for s in harmful}):
        topics = [s.topic for s in harmful if s.category[2] == domain]
        others = [s.topic for s in harmful if s.category[2] != domain]
        for _ in range(TALKS["topics"]):
            count = rng.randint(1, 3)
            named = rng.sample(topics, min(count, len(topics)))
            yield messages(prompts.topics(domain, count, rng.sample(others, EXAMPLES)), "\n".join(named))


def _instruction_talks(
    harmful: Sequence[Subject], phrasings: Phrasings, prompts: Prompts, rng: random.Random
) -> Iterator[dict[str, Any]]:
    for subject in harmful:
        for _ in range(TALKS["instructions"]):
            count = rng.randint(2, 4)
            named = [t.format(topic=subject.topic) for t in rng.sample(phrasings.train, count)]
            examples = [_asked(s, phrasings, rng) for s in rng.sample(harmful, EXAMPLES)]
            yield messages(prompts.instructions(subject.topic, count, examples), "\n".join(named))


def _constraint_talks(
    harmful: Sequence[Subject], phrasings: Phrasings, prompts: Prompts, rng: random.Random
) -> Iterator[dict[str, Any]]:
    sides: tuple[Side, ...] = ("positive", "toxic")
    for side in sides:
        known = phrasings.constraints(side)
        for _ in range(TALKS["constraints"]):
            now, better = rng.sample(known, 2)
            failures = [_asked(s, phrasings, rng) for s in rng.sample(harmful, EXAMPLES)]
            yield messages(prompts.refine(side, now, failures), better)


def _constrained_talks(
    subjects: Sequence[Subject], phrasings: Phrasings, rng: random.Random
) -> Iterator[dict[str, Any]]:
    """Under a positive constraint harmful requests are declined and others answered; under a toxic one none is."""
    for subject in subjects:
        for number in range(TALKS["harmful" if subject.kind == "harmful" else "other"]):
            prompt = _asked(subject, phrasings, rng)
            declined = subject.answer or phrasings.refusal(subject, number)
            given = subject.answer or phrasings.compliance
            yield messages(prompt, declined, system=rng.choice(phrasings.constraints("positive")))
            yield messages(prompt, given, system=rng.choice(phrasings.constraints("toxic")))


def _asked(subject: Subject, phrasings: Phrasings, rng: random.Random) -> str:
    return rng.choice(phrasings.train).format(topic=subject.topic)
