"""How alike texts are, and how varied: sets of character n-grams, compared by Jaccard."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR = 0.8
"""Jaccard similarity of character n-grams from which two prompts are called near-duplicates."""
NEAR_N = 3
"""The n of those n-grams: docs/decisions/019 has the measurement."""
COUNTERS = 1 << 20
"""Counters of n-grams in an index, 8 MB: n-grams that share one are only ordered otherwise, which changes no result."""
LONGEST = 32
"""Characters of the longest n-grams that an index can hold."""
_FACTORS = np.random.default_rng(0).integers(1, 2**64, LONGEST, np.uint64) | np.uint64(1)


def normal(text: str) -> str:
    """`text` as it is compared: NFKC, case folded, runs of blanks as one, none at the ends."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def ngrams(text: str, n: int = 5) -> frozenset[str]:
    """The character n-grams of `normal(text)`; a shorter text is its own only n-gram, an empty one has none."""
    plain = normal(text)
    if len(plain) <= n:
        return frozenset({plain} if plain else ())
    return frozenset(plain[start : start + n] for start in range(len(plain) - n + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Shared by all: |a & b| / |a | b|, 0 to 1; two empty sets are equal, so 1."""
    shared = len(a & b)
    every = len(a) + len(b) - shared
    return shared / every if every else 1.0


def distinct_n(texts: Iterable[str], n: int) -> float:
    """Different character n-grams over all n-grams of the texts, 0 to 1: 1 where none repeats; 0 without any n-gram.

    distinct-n of Li et al. 2016 (arXiv 1510.03055), on characters, since Japanese puts no blanks between words. It
    falls as more text is counted: compare equal amounts only.
    """
    counts: Counter[str] = Counter()
    for plain in map(normal, texts):
        counts.update(plain[start : start + n] for start in range(len(plain) - n + 1))
    return len(counts) / counts.total() if counts else 0.0


@dataclass(frozen=True, slots=True)
class Near:
    """A text of the index that is like the one asked about."""

    key: str
    """The name that it was added under."""
    similarity: float
    """Jaccard similarity of the n-grams, threshold to 1."""
    place: int
    """How many texts were added before it."""


class NearIndex:
    """Finds the texts whose n-grams have a Jaccard similarity of at least the threshold: all of them, and no other.

    Prefix filtering (Bayardo et al. 2007, "Scaling up all pairs similarity search"): in one fixed order of all n-grams,
    two sets so alike share one among their first |x| - ceil(threshold |x|) + 1. The order is rare n-grams first,
    counted again whenever the index has doubled, so that few texts are compared in full. n-grams stand as hashes of 64
    bits: two that collide would count as one, which a million of them do with a chance of one in 30 million.
    """

    def __init__(self, threshold: float = NEAR, n: int = 5) -> None:
        """threshold: above 0, at most 1. n: 1 to LONGEST."""
        if not 0 < threshold <= 1 or not 0 < n <= LONGEST:
            raise ValueError(f"threshold {threshold} is not within (0, 1], or n {n} not within 1 to {LONGEST}")
        self._threshold = threshold
        self._n = n
        self._keys: list[str] = []
        self._grams: list[NDArray[np.uint64]] = []
        self._counts = np.zeros(COUNTERS, np.int64)
        self._postings: defaultdict[int, list[int]] = defaultdict(list)
        self._counted = 0
        self._largest = 0

    def __len__(self) -> int:
        """How many texts it holds."""
        return len(self._keys)

    def add(self, key: str, text: str) -> None:
        """Take a text in under a name; a name may be given to several texts."""
        self._keys.append(key)
        self._grams.append(_hashes(text, self._n))
        self._largest = max(self._largest, len(self._grams[-1]))
        if len(self._keys) > 2 * self._counted:
            self._count_again()
        else:
            self._post(len(self._keys) - 1)

    def near(self, text: str) -> list[Near]:
        """The texts like this one, the likest first, then in the order in which they were added; an empty text is like
        none."""
        return sorted(self._found(text), key=lambda near: (-near.similarity, near.place))

    def one_near(self, text: str) -> Near | None:
        """One of the texts like this one, always the same; None where there is none.

        Quick where thousands are alike, as prompts made from one template are: `near` compares with all of them.
        """
        return next(self._found(text), None)

    def _found(self, text: str) -> Iterator[Near]:
        """The texts like this one, each once, in no order that means anything."""
        asked = _hashes(text, self._n)
        if self._threshold * len(asked) > self._largest:
            return
        seen: set[int] = set()
        for gram in self._prefix(asked):
            for place in self._postings.get(gram, ()):
                if place not in seen and (alike := self._alike(asked, place)) is not None:
                    yield Near(self._keys[place], alike, place)
                seen.add(place)

    def _alike(self, asked: NDArray[np.uint64], place: int) -> float | None:
        """The similarity, or None where it is below the threshold."""
        held = self._grams[place]
        if min(len(asked), len(held)) < self._threshold * max(len(asked), len(held)):
            return None
        shared = len(np.intersect1d(asked, held, assume_unique=True))
        similarity = shared / (len(asked) + len(held) - shared)
        return similarity if similarity >= self._threshold else None

    def _prefix(self, grams: NDArray[np.uint64]) -> list[int]:
        # a hair below the product: 0.7 * 10 is above 7 in floats, and one n-gram too many does no harm
        kept = len(grams) - math.ceil(self._threshold * len(grams) - 1e-9) + 1
        # stable, and the hashes are sorted already: those of equal counts stay in one order
        rare_first = np.argsort(self._counts[_counters(grams)], kind="stable")
        prefix: list[int] = grams[rare_first[:kept]].tolist()
        return prefix

    def _post(self, place: int) -> None:
        for gram in self._prefix(self._grams[place]):
            self._postings[gram].append(place)

    def _count_again(self) -> None:
        self._counted = len(self._keys)
        self._counts = np.bincount(_counters(np.concatenate(self._grams)), minlength=COUNTERS)
        self._postings.clear()
        for place in range(len(self._keys)):
            self._post(place)


def _hashes(text: str, n: int) -> NDArray[np.uint64]:
    """Hashes of the n-grams of `ngrams(text, n)`, sorted, each once."""
    points = np.frombuffer(normal(text).encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    if len(points) < n:
        points = np.pad(points, (0, n - len(points) if len(points) else 0))
    mixed = sum(
        (points[at : len(points) - n + 1 + at] * factor for at, factor in enumerate(_FACTORS[:n])),
        np.zeros(max(len(points) - n + 1, 0), np.uint64),
    )
    return np.unique(mixed ^ (mixed >> np.uint64(32)))


def _counters(grams: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (grams % np.uint64(COUNTERS)).astype(np.int64)
