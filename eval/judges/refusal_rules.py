"""What a reading of a refusal is, and what a language's rules for it consist of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Language = Literal["ja", "en"]
Label = Literal["none", "partial", "full"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A class and the words that decided it."""

    label: Label
    reason: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Patterns over sentences in lower case, after NFKC."""

    help_letters: int
    """Least letters that must help for a refusal to be partial."""
    ends: re.Pattern[str]
    """Ends of sentences."""
    quotes: re.Pattern[str]
    """Spans that are not the answerer's own words."""
    refuses: tuple[re.Pattern[str], ...]
    """Sentences that refuse."""
    aside: re.Pattern[str]
    """Sentences that go with a refusal and help nobody: reasons, warnings, referrals, offers."""
    forbids: re.Pattern[str]
    """Sentences that tell the asker to leave it; a text of nothing but these and asides refuses too."""
