"""Training prompts that are also in an evaluation: its scores would then show memory, not skill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mergescope.ground.errors import DataError
from trainer.data.similarity import NEAR, NEAR_N, NearIndex, normal
from trainer.triples import Triple


@dataclass(frozen=True, slots=True)
class Overlap:
    """A triple whose prompt is one of the evaluation's, or nearly."""

    idx: str
    """The triple."""
    prompt: str
    """A prompt of the evaluation that is equal to it, or near."""
    similarity: float
    """1 where the prompts are equal as `normal` writes them, else the Jaccard similarity of n-grams, below 1."""

    @property
    def is_exact(self) -> bool:
        """Whether the two prompts are the same."""
        return self.similarity == 1


def overlaps(triples: Iterable[Triple], held_out: Iterable[str], threshold: float = NEAR) -> list[Overlap]:
    """One overlap for each triple that has any, in the triples' order.

    held_out: prompts of the evaluation. threshold: Jaccard similarity of n-grams from which prompts are near.
    """
    prompts = {normal(prompt): prompt for prompt in held_out}
    index = NearIndex(threshold, NEAR_N)
    for plain in prompts:
        index.add(plain, plain)
    found: list[Overlap] = []
    for triple in triples:
        if (plain := normal(triple.prompt)) in prompts:
            found.append(Overlap(triple.idx, prompts[plain], 1.0))
        elif (near := index.one_near(plain)) is not None:
            # equal n-grams in another order are no equal prompts
            found.append(Overlap(triple.idx, prompts[near.key], min(near.similarity, 0.999)))
    return found


def check_overlap(triples: Sequence[Triple], held_out: Iterable[str]) -> None:
    """Raise DataError where a triple's prompt is one of the evaluation's, or nearly; equal ones are named first."""
    if not (found := overlaps(triples, held_out)):
        return
    worst = max(found, key=lambda overlap: overlap.similarity)
    exact = sum(overlap.is_exact for overlap in found)
    what = "is in both training and evaluation" if worst.is_exact else "is nearly in both training and evaluation"
    raise DataError(
        f"a prompt {what} data ({exact} such triples, and {len(found) - exact} nearly)",
        where=f"triple {worst.idx}",
        value=worst.prompt,
        cure="remove it on one side (`mergescope data check FILE --study STUDY` lists all), or set "
        "`train.allow_overlap: true`",
    )
