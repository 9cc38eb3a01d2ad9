"""Prompts and answers of a few letters, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dashboard.failures.outcomes import Outcomes, Prompts
from dashboard.store.answers import ItemKey
from dashboard.store.queries import Checkpoint


def make_prompts(
    texts: Sequence[str], categories: Sequence[tuple[str, ...]] | None = None, kind: str = "borderline"
) -> Prompts:
    """One prompt for each text, each a group of its own."""
    count = len(texts)
    return Prompts(
        keys=tuple(ItemKey("set", f"item-{place}") for place in range(count)),
        kind=np.full(count, kind),
        categories=tuple(categories or [("top",)] * count),
        group=np.arange(count),
        stratum=np.zeros(count, dtype=np.int64),
        texts=tuple(texts),
        single=np.ones(count, dtype=np.bool_),
    )


def make_outcomes(refusal: str) -> Outcomes:
    """Refusal of each prompt as a letter: 0 none, 1 partial, 2 full, - unscored."""
    count = len(refusal)
    codes = np.array([-1 if letter == "-" else int(letter) for letter in refusal], dtype=np.int8)
    return Outcomes(
        item=np.arange(count),
        sample=np.zeros(count, dtype=np.int64),
        verdict=np.array([5 if letter == "-" else int(letter) for letter in refusal], dtype=np.int8),
        refusal=codes,
        safety=np.full(count, np.nan),
        fluency=np.full(count, np.nan),
        right=np.full(count, -1, dtype=np.int8),
        cut=np.zeros(count, dtype=np.int8),
        error=np.where(codes < 0, 0, -1),
        errors=("filter",),
    )


def merge(ratio: float, seed: int = 1) -> Checkpoint:
    """A merge point whose id is its handle."""
    handle = f"{ratio:g}@{seed}"
    return Checkpoint(handle, handle, "merge", f"r {ratio:.2f}", ratio, seed)


def reference(name: str) -> Checkpoint:
    """A reference whose id is its name."""
    return Checkpoint(name, name, name, name, None, None)
