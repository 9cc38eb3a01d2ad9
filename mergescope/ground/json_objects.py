"""JSON objects that name each field once: Python's own reader keeps the last of two without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


class RepeatedNameError(ValueError):
    """A name that stands twice in one object."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"`{name}` stands twice in one object")


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of a JSON reader's `object_pairs_hook`; raises RepeatedNameError."""
    if (name := repeated([name for name, _ in pairs])) is not None:
        raise RepeatedNameError(name)
    return dict(pairs)


def repeated(names: Sequence[str]) -> str | None:
    """The first name that stands more than once; None where each stands once."""
    counts = Counter(names)
    return next((name for name in names if counts[name] > 1), None)
