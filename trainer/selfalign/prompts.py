"""What the model is told while it makes its pairs: templates in `prompts/`, one file a language."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mergescope.ground.ids import text_hash

FOLDER = Path(__file__).parent / "prompts"
Language = Literal["ja", "en"]
Side = Literal["positive", "toxic"]


@dataclass(frozen=True, slots=True)
class Prompts:
    """The templates of one language."""

    sha256: str
    """Of the file: other templates make other pairs."""
    positive_constraint: str
    """System message of the first round under which harmful requests should be declined."""
    toxic_constraint: str
    """System message of the first round under which nothing should be declined."""
    templates: dict[str, str]
    """By name: domains, topics, instructions, refine_positive, refine_toxic."""

    def domains(self, count: int, examples: Sequence[str]) -> str:
        """Asks for fields of harmful questions."""
        return self._filled("domains", count=count, examples=_lines(examples))

    def topics(self, domain: str, count: int, examples: Sequence[str]) -> str:
        """Asks for topics within a domain."""
        return self._filled("topics", domain=domain, count=count, examples=_lines(examples))

    def instructions(self, topic: str, count: int, examples: Sequence[str]) -> str:
        """Asks for what a user might send about a topic."""
        return self._filled("instructions", topic=topic, count=count, examples=_lines(examples))

    def refine(self, side: Side, constraint: str, failures: Sequence[str]) -> str:
        """Asks for a better constraint. failures: instructions whose answer it did not polarise."""
        return self._filled(f"refine_{side}", constraint=constraint, failures=_lines(failures))

    def _filled(self, name: str, **values: object) -> str:
        # one pass over the template: a brace within a model's own text is no placeholder
        return self.templates[name].format(**values)


def load_prompts(language: Language) -> Prompts:
    """The templates of a language."""
    text = (FOLDER / f"{language}.toml").read_text(encoding="utf-8")
    raw = tomllib.loads(text)
    positive, toxic = raw.pop("positive_constraint"), raw.pop("toxic_constraint")
    return Prompts(text_hash(text), positive, toxic, raw)


def _lines(texts: Sequence[str]) -> str:
    return "\n".join(" ".join(text.split()) for text in texts)
