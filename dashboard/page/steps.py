"""Buttons to the neighbours of what is open, in a list that is read one by one."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from dashboard.page import state
from dashboard.page.language import Words


def neighbours(
    word: Words, choice: str, number: int, total: int, value: Callable[[int], str], key: str = "", *, keys: bool = False
) -> None:
    """Draw both buttons.

    choice: what the page's state remembers, as `value` says it of a number from 0. number: of what is open. key: in
    front of the buttons' own keys. keys: whether K and J press them.
    """
    for name, other, shortcut in (("previous", number - 1, "k"), ("next", number + 1, "j")):
        there = 0 <= other < total
        st.button(
            word(f"compare.{name}"),
            key=f"{key}{name}",
            type="tertiary",
            shortcut=shortcut if keys else None,
            disabled=not there,
            on_click=state.remember,
            args=(choice, value(other) if there else ""),
        )
