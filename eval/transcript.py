"""How the texts of a conversation's turns are put together for a judge, answers and references alike."""

from __future__ import annotations

from collections.abc import Sequence


def transcript(turns: Sequence[str]) -> str:
    """The texts of one conversation's turns as one text: a single one as it is, several numbered."""
    if len(turns) == 1:
        return turns[0]
    return "\n\n".join(numbered(number, turn) for number, turn in enumerate(turns, 1))


def numbered(number: int, turn: str) -> str:
    """One turn of a transcript, under its number from 1."""
    return f"[{number}]\n{turn}"
