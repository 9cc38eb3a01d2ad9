"""Triples that say again, nearly again, or the contrary of what another one says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.data.similarity import NEAR, NEAR_N, NearIndex, normal
from trainer.triples import Triple

RepeatKind = Literal["triple", "opposed", "prompt", "near"]
"""triple: prompt and both answers are the same. opposed: one prefers what the other avoids. prompt: other answers to
the same prompt. near: a prompt that is nearly the same."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A triple and an earlier one that it is like."""

    kind: RepeatKind
    idx: str
    """The later triple."""
    earlier: str
    """The earlier one; of several that are near, one."""
    similarity: float
    """Of the prompts: 1 unless near."""


def repeats(triples: Sequence[Triple], threshold: float = NEAR) -> list[Repeat]:
    """At most one repeat for each triple, in order: the gravest of its kinds, which stand above in their order."""
    return list(_same_prompts(triples)) + list(_near_prompts(triples, threshold))


def _same_prompts(triples: Sequence[Triple]) -> Iterator[Repeat]:
    whole: dict[tuple[str, str, str], str] = {}
    by_chosen: dict[tuple[str, str], str] = {}
    by_rejected: dict[tuple[str, str], str] = {}
    prompts: dict[str, str] = {}
    for triple in triples:
        prompt, chosen, rejected = (normal(text) for text in (triple.prompt, triple.chosen, triple.rejected))
        opposed = by_rejected.get((prompt, chosen)) or by_chosen.get((prompt, rejected))
        if (first := whole.get((prompt, chosen, rejected))) is not None:
            yield Repeat("triple", triple.idx, first, 1.0)
        elif opposed is not None:
            yield Repeat("opposed", triple.idx, opposed, 1.0)
        elif (first := prompts.get(prompt)) is not None:
            yield Repeat("prompt", triple.idx, first, 1.0)
        whole.setdefault((prompt, chosen, rejected), triple.idx)
        by_chosen.setdefault((prompt, chosen), triple.idx)
        by_rejected.setdefault((prompt, rejected), triple.idx)
        prompts.setdefault(prompt, triple.idx)


def _near_prompts(triples: Sequence[Triple], threshold: float) -> Iterator[Repeat]:
    first = {normal(triple.prompt): triple.idx for triple in reversed(triples)}
    index = NearIndex(threshold, NEAR_N)
    for triple in triples:
        plain = normal(triple.prompt)
        if first[plain] != triple.idx:
            continue
        if (near := index.one_near(plain)) is not None:
            yield Repeat("near", triple.idx, near.key, near.similarity)
        index.add(triple.idx, plain)
