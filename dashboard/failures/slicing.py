"""Slices of prompts in which a checkpoint may fail more often: by category, by length, by words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dashboard.failures.outcomes import Prompts
from dashboard.store.board import Mask
from eval.judges.formulas import facts

Sort = Literal["category", "length", "word"]
LEAST = 5
"""Prompts that a slice has at least, and that are outside it."""
WORDS = 100
"""Words that are looked at, the most frequent first: chosen without a look at what failed."""
BINS = 4
"""Parts of equal size that prompts are divided into by length."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of a study's prompts."""

    sort: Sort
    names: tuple[str, ...]
    """Category levels from the widest; a range of lengths in characters; words that stand in the very same prompts."""
    mask: Mask
    """(I,), over the prompts looked at."""

    @property
    def address(self) -> str:
        """As query parameters carry it, unique in a study."""
        return f"{self.sort}:{'/'.join(self.names)}"


def slices_of(prompts: Prompts, among: Mask) -> list[Slice]:
    """All slices of the prompts `among` (I,), each of at least LEAST prompts with as many outside.

    Of slices that hold the same prompts the first stays: the wider category; words become one slice with all their
    names.
    """
    found: dict[bytes, Slice] = {}
    for one in [*_categories(prompts, among), *_lengths(prompts, among), *_words(prompts, among)]:
        inside = int(one.mask.sum())
        if not LEAST <= inside <= int(among.sum()) - LEAST:
            continue
        twin = found.get(one.mask.tobytes())
        if twin is None:
            found[one.mask.tobytes()] = one
        elif twin.sort == one.sort == "word":
            found[one.mask.tobytes()] = Slice("word", (*twin.names, *one.names), one.mask)
    return list(found.values())


def _categories(prompts: Prompts, among: Mask) -> Iterator[Slice]:
    paths = dict.fromkeys(
        category[:level]
        for level in (1, 2, 3)
        for category, own in zip(prompts.categories, among, strict=True)
        if own and len(category) >= level
    )
    for path in paths:
        inside = [category[: len(path)] == path for category in prompts.categories]
        yield Slice("category", path, np.array(inside, dtype=np.bool_) & among)


def _lengths(prompts: Prompts, among: Mask) -> Iterator[Slice]:
    lengths = np.array([len(text) for text in prompts.texts], dtype=np.int64)
    if not among.any():
        return
    cuts = np.unique(np.quantile(lengths[among], np.linspace(0, 1, BINS + 1)).astype(np.int64))
    edges = [int(cuts[0]), *(int(cut) + 1 for cut in cuts[1:])]
    for low, above in pairwise(edges):
        yield Slice("length", (str(low), str(above - 1)), among & (lengths >= low) & (lengths < above))


def _words(prompts: Prompts, among: Mask) -> Iterator[Slice]:
    places = np.flatnonzero(among)
    said = {int(place): facts(prompts.texts[place]) for place in places}
    counts = Counter(word for words in said.values() for word in words)
    some = sorted((word for word, count in counts.items() if count >= LEAST), key=lambda word: (-counts[word], word))
    for word in some[:WORDS]:
        yield Slice("word", (word,), _at([place for place, words in said.items() if word in words], among.size))


def _at(places: Sequence[int], size: int) -> NDArray[np.bool_]:
    mask = np.zeros(size, dtype=np.bool_)
    mask[list(places)] = True
    return mask
