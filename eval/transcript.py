"""Answers of several turns as one text that a judge can read."""

from __future__ import annotations

from collections.abc import Sequence


def transcript(turns: Sequence[str]) -> str:
    """One turn: the text itself. Several: each under its number, `[Turn 1]` first, with an empty line between them."""
    if len(turns) == 1:
        return turns[0]
    return "\n\n".join(numbered(number, text) for number, text in enumerate(turns, 1))


def numbered(number: int, text: str) -> str:
    """One turn of a transcript under its number, from 1."""
    return f"[Turn {number}]\n{text}"
