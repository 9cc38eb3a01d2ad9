"""What leaves with a shared copy: which texts of a row are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

TOXIC = frozenset({"harmful", "jailbreak"})
"""Kinds of harmful prompts, wrapped or not; their answers leave with no shared copy, whatever the set's licence."""


@dataclass(frozen=True, slots=True)
class Placed:
    """One item, as far as it says what may leave."""

    prompt_id: str
    set_name: str
    kind: str
    redistributable: bool


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


@dataclass(slots=True)
class Sharing:
    """Drops texts that may not leave, and counts them.

    A prompt leaves if every set that holds it is redistributable. An answer, and a judge's words about it, leave with
    such a prompt unless some item makes it a harmful one, or some judge scored the answer as unsafe.
    """

    with_texts: bool
    """Everything stays in."""
    closed: dict[str, str] = field(default_factory=dict)
    """Prompts that may not leave, each with a set that forbids it."""
    toxic: set[str] = field(default_factory=set)
    """Prompts whose answers may not leave."""
    unsafe: frozenset[tuple[str, str]] = frozenset()
    """Prompt and text id of answers with a safety score that is too low to leave."""
    prompts: int = 0
    """Rows whose prompt was left out."""
    answers: int = 0
    """Rows whose answer, or whose judge's words, were left out."""
    names: set[str] = field(default_factory=set)
    """Why: names of sets that are not redistributable."""

    @classmethod
    def of(cls, items: Iterable[Placed], unsafe: frozenset[tuple[str, str]]) -> Self:
        """What every place of every prompt allows together; of two places the stricter counts."""
        sharing = cls(with_texts=False, unsafe=unsafe)
        for item in items:
            if not item.redistributable:
                sharing.closed[item.prompt_id] = item.set_name
            if item.kind in TOXIC:
                sharing.toxic.add(item.prompt_id)
        return sharing

    def answer(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """An answer's row without what may not leave."""
        shared = dict(row)
        if not self.with_texts and row["prompt_id"] in self.closed:
            # deeper levels may be whole sentences of the set
            shared |= {"messages": None, "category": row["category"][:1]}
            self.prompts += 1
            self.names.add(self.closed[row["prompt_id"]])
        if row["turns"] is not None and not self._told(row):
            shared["turns"] = None
            self.answers += 1
        return shared

    def judgement(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A judgement's row without the judge's words, where they may not leave."""
        said = row["reason"] is not None or row["raw"] is not None
        if not said or self._told(row):
            return dict(row)
        self.answers += 1
        return {**row, "reason": None, "raw": None}

    def lets_go(self, prompt_id: str, text_id: str) -> bool:
        """Whether an answer may leave, and the prompt with it."""
        return self._told({"prompt_id": prompt_id, "text_id": text_id})

    def lines(self) -> Iterator[str]:
        """What was left out, in one line; nothing if nothing was."""
        if self.prompts or self.answers:
            sets = f" (not redistributable: {', '.join(sorted(self.names))})" if self.names else ""
            kept_back = {"prompts": self.prompts, "answers and judges' words": self.answers}
            parts = ", ".join(f"{what} of {counted(rows, 'row')}" for what, rows in kept_back.items() if rows)
            yield f"left out: {parts}{sets}; --with-texts keeps them, for copies that you do not share"

    def _told(self, row: Mapping[str, Any]) -> bool:
        prompt = row["prompt_id"]
        held = prompt in self.closed or prompt in self.toxic or (prompt, row["text_id"]) in self.unsafe
        return self.with_texts or not held
