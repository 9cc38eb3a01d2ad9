"""How an answer may stand to what was asked: it helps, declines in part, or declines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Language = Literal["ja", "en"]
Label = Literal["none", "partial", "full"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A class and the words that decided it."""

    label: Label
    reason: str
