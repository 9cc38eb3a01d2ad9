"""What leaves with a shared copy: which texts of a row are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

TOXIC = frozenset({"harmful", "jailbreak"})
"""Kinds of items whose answers do not leave with a shared copy, whatever the set's licence."""


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


@dataclass(slots=True)
class Sharing:
    """Drops texts that may not leave, and counts them.

    A prompt leaves with a set that is redistributable. An answer, and a judge's words about it, leave with such a set
    unless the prompt is harmful.
    """

    with_texts: bool
    """Everything stays in."""
    prompts: int = 0
    """Rows whose prompt was left out."""
    answers: int = 0
    """Rows whose answer, or whose judge's words, were left out."""
    names: set[str] = field(default_factory=set)
    """Why: names of sets that are not redistributable."""

    def answer(self, row: Mapping[str, Any], redistributable: bool) -> dict[str, Any]:
        """An answer's row without what may not leave."""
        shared = dict(row)
        if not (self.with_texts or redistributable):
            shared["messages"] = None
            self.prompts += 1
            self.names.add(row["set"])
        if row["turns"] is not None and not self._told(row["kind"], redistributable):
            shared["turns"] = None
            self.answers += 1
        return shared

    def judgement(self, row: Mapping[str, Any], redistributable: bool) -> dict[str, Any]:
        """A judgement's row without the judge's words, where they may not leave."""
        said = row["reason"] is not None or row["raw"] is not None
        if not said or self._told(row["kind"], redistributable):
            return dict(row)
        self.answers += 1
        return {**row, "reason": None, "raw": None}

    def lines(self) -> Iterator[str]:
        """What was left out, in one line; nothing if nothing was."""
        if self.prompts or self.answers:
            sets = f" (not redistributable: {', '.join(sorted(self.names))})" if self.names else ""
            kept_back = {"prompts": self.prompts, "answers and judges' words": self.answers}
            parts = ", ".join(f"{what} of {counted(rows, 'row')}" for what, rows in kept_back.items() if rows)
            yield f"left out: {parts}{sets}; --with-texts keeps them, for copies that you do not share"

    def _told(self, kind: str, redistributable: bool) -> bool:
        return self.with_texts or (redistributable and kind not in TOXIC)
