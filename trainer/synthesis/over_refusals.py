"""Needless refusals put together from templates: what a model shall not say to a question that only looks harmful."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from eval.judges.refusal_label import Language
from mergescope.ground.ids import text_hash

PARTS = ("opening", "refusal", "reason", "closing")
QUOTED = 60
"""Characters of the longest question that a refusal repeats."""
_SLOT = "{prompt}"
_JOINT = {"ja": "", "en": " "}


@dataclass(frozen=True, slots=True)
class OverRefusals:
    """One language's templates."""

    sha256: str
    """Of the file's text."""
    language: Language
    content: Mapping[str, Any]

    def write(self, prompt: str, seed: int) -> str:
        """A refusal of a question: one of each part, drawn by the seed."""
        draw = random.Random(seed)
        chosen = [draw.choice(_fitting(self.content[part], prompt)) for part in PARTS]
        words = [text.replace(_SLOT, prompt.strip()) for text in chosen if text]
        return _JOINT[self.language].join(words)


def load_over_refusals(language: Language) -> OverRefusals:
    """The templates that come with this version."""
    file = resources.files("trainer") / "synthesis" / "over_refusals" / f"{language}.yaml"
    text = file.read_text(encoding="utf-8")
    return OverRefusals(text_hash(text), language, yaml.safe_load(text))


def _fitting(texts: Sequence[str], prompt: str) -> list[str]:
    """The texts of a part that this question can stand in."""
    short = len(prompt.strip()) <= QUOTED and "\n" not in prompt.strip()
    return [text for text in texts if short or _SLOT not in text]
