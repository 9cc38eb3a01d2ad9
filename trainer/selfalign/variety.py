"""How varied a round is: novelty, distinct n-grams, self-similarity, coverage of the taxonomy."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations

from trainer.data.similarity import distinct_n, jaccard, ngrams

COMPARED = 2_000
"""Pairs of texts at most whose similarity is looked at."""


def distincts(texts: Sequence[str]) -> tuple[float, float]:
    """Distinct n-grams for n = 1 and 2, each 0 to 1; 0 without texts."""
    return round(distinct_n(texts, 1), 4), round(distinct_n(texts, 2), 4)


def self_similarity(texts: Sequence[str]) -> float | None:
    """Mean Jaccard similarity of the 5-grams of two of the texts, 0 to 1; None where there are no two.

    Of many texts a fixed sample of pairs counts.
    """
    grams = [ngrams(text) for text in texts]
    if len(grams) < 2:
        return None
    pairs = list(combinations(range(len(grams)), 2))
    if len(pairs) > COMPARED:
        pairs = random.Random(len(pairs)).sample(pairs, COMPARED)
    return round(sum(jaccard(grams[a], grams[b]) for a, b in pairs) / len(pairs), 4)


def share(part: int, whole: int) -> float | None:
    """part / whole; None where there is nothing to share."""
    return round(part / whole, 4) if whole else None
