"""How long triples are in tokens, as they are trained: prompt and answer together, chat template included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from eval.prompt_length import BYTES_PER_TOKEN, TEMPLATE_TOKENS
from trainer.encoding import encode
from trainer.triples import Triple


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of each triple's two sides, in the order of the triples."""

    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    basis: str
    """How they were found."""

    @property
    def total(self) -> int:
        """Tokens of all sides: what one pass over the triples computes, padding apart."""
        return sum(self.chosen) + sum(self.rejected)

    @property
    def longest(self) -> int:
        """Of the longest side; 0 where there is none."""
        return max((*self.chosen, *self.rejected), default=0)


def measured(tokenizer: Any, triples: Sequence[Triple]) -> Lengths:
    """The lengths by the base's own tokenizer and chat template: exact."""
    encoded = [encode(tokenizer, triple) for triple in triples]
    chosen = tuple(len(one.prompt) + len(one.chosen) for one in encoded)
    rejected = tuple(len(one.prompt) + len(one.rejected) for one in encoded)
    return Lengths(chosen, rejected, "the base's tokenizer, exact")


def estimated(triples: Sequence[Triple]) -> Lengths:
    """The lengths from the texts' bytes, where the base's tokenizer is not here."""

    def count(triple: Triple, answer: str) -> int:
        return -(-len((triple.prompt + answer).encode()) // BYTES_PER_TOKEN) + TEMPLATE_TOKENS

    chosen = tuple(count(triple, triple.chosen) for triple in triples)
    rejected = tuple(count(triple, triple.rejected) for triple in triples)
    return Lengths(chosen, rejected, f"UTF-8 bytes / {BYTES_PER_TOKEN}, the base's tokenizer is not here: an estimate")
