"""Examples of safe answers for a question: reviewed ones of its own specific harm."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

from mergescope.ground.seeds import derive_seed
from trainer.data.similarity import normal
from trainer.synthesis.prompts import Shot
from trainer.synthesis.questions import Question
from trainer.taxonomy.categories import known


class Shots:
    """Reviewed answers by specific harm."""

    def __init__(self, reviewed: Iterable[tuple[str, Shot]], most: int, seed: int) -> None:
        """reviewed: specific harm and example. most: examples for one question."""
        found: defaultdict[str, set[Shot]] = defaultdict(set)
        for harm, shot in reviewed:
            found[_plain(harm)].add(shot)
        self._of = {harm: sorted(shots, key=lambda shot: (shot.prompt, shot.chosen)) for harm, shots in found.items()}
        self._most = most
        self._seed = seed

    def of(self, question: Question) -> tuple[Shot, ...]:
        """The examples for a question, drawn by its id; fewer, or none, where fewer are reviewed."""
        asked = normal(question.prompt)
        same = self._of.get(_plain(question.meta["specific-harm"]), ())
        pool = [shot for shot in same if normal(shot.prompt) != asked]
        draw = random.Random(derive_seed(self._seed, "shots", question.question_id))
        return tuple(draw.sample(pool, min(self._most, len(pool))))


def _plain(harm: str) -> str:
    """One name of a specific harm, whatever the language it is written in."""
    category = known("specific-harm", harm)
    return normal(harm) if category is None else category.ja
