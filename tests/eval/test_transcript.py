"""One turn is itself; several stand under their numbers."""

from __future__ import annotations

from eval.transcript import transcript


def test_one_turn_is_the_text_itself() -> None:
    assert transcript(["hello\n"]) == "hello\n"


def test_several_turns_are_numbered() -> None:
    assert transcript(["a\nb", "", "c"]) == "[1]\na\nb\n\n[2]\n\n\n[3]\nc"
