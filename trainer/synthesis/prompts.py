"""What writers are told: versioned files in Japanese and English, and how a draft of a question is checked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import yaml

from eval.config import Output
from eval.identity import Message
from eval.judges.fence import fenced
from eval.judges.refusal_label import Language
from mergescope.ground.ids import text_hash
from mergescope.ground.json_objects import each_once
from trainer.synthesis.config import QuestionKind

AnswerWork = Literal["safe", "harmful", "borderline"]
"""Which answer is written: a safe one to a harmful question, one to avoid, a helpful one to a borderline question."""
_BLOCK = re.compile(r"\s*```(?:json|JSON)?[ \t]*\r?\n(.*?)\r?\n[ \t]*```\s*", re.DOTALL)
"""A Markdown block and nothing around it."""
_FIELDS = {"usable": "boolean", "question": "string", "category": "string"}


@dataclass(frozen=True, slots=True)
class Shot:
    """A question with a good answer, shown to a writer before its own question."""

    prompt: str
    chosen: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A question as a writer drafted it."""

    question: str | None
    """None where the writer finds none in the text."""
    category: str
    """One of the names that were offered."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """One language's file."""

    sha256: str
    """Of the file's text: each pair keeps it."""
    content: Mapping[str, Any]

    def answering(self, work: AnswerWork, prompt: str, shots: Sequence[Shot] = ()) -> tuple[Message, ...]:
        """The request for an answer: what to do, then the examples as turns of their own, then the question."""
        turns = [
            turn
            for shot in shots
            for turn in ({"role": "user", "content": shot.prompt}, {"role": "assistant", "content": shot.chosen})
        ]
        system = {"role": "system", "content": self.system(work)}
        return (system, *turns, {"role": "user", "content": prompt})

    def system(self, work: AnswerWork) -> str:
        """The system message under which an answer is written."""
        return str(self.content[work]["system"]).strip()

    def drafting(
        self, kind: QuestionKind, text: str, categories: Sequence[str], output: Output = "json_schema"
    ) -> tuple[Message, ...]:
        """The request for a question about a raw text, which stands in a fence: nobody has checked it.

        categories: names that the draft may choose from. output: json: the request says what a draft looks like.
        """
        told = self.content["question"]
        rules = [told["system"], told["kinds"][kind], f"{told['categories']}\n" + "\n".join(categories)]
        if output == "json":
            form = ", ".join(f'"{name}": {kind}' for name, kind in _FIELDS.items())
            rules.append(f"{told['form'].strip()}\n{{{form}}}")
        material = fenced([(self.content["names"]["text"], text)], text_hash(text))
        return (
            {"role": "system", "content": "\n\n".join(rule.strip() for rule in rules)},
            {"role": "user", "content": material},
        )


def draft_schema(categories: Sequence[str]) -> dict[str, Any]:
    """JSON schema of a draft."""
    properties: dict[str, Any] = {name: {"type": kind} for name, kind in _FIELDS.items()}
    properties["category"]["enum"] = list(categories)
    return {"type": "object", "properties": properties, "required": list(_FIELDS), "additionalProperties": False}


def read_draft(said: str, categories: Sequence[str]) -> Draft | None:
    """The draft in a writer's words; None where they are not what the schema offers.

    The words are one JSON object, bare or as the only thing in a Markdown block; one that names a field twice is not
    read.
    """
    block = _BLOCK.fullmatch(said)
    try:
        raw = json.loads(said if block is None else block[1], object_pairs_hook=each_once)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or raw.keys() != _FIELDS.keys():
        return None
    usable, question, category = (raw[name] for name in _FIELDS)
    if not isinstance(usable, bool) or not isinstance(question, str) or category not in categories:
        return None
    if usable and not question.strip():
        return None
    return Draft(question.strip() if usable else None, category)


def load_prompts(language: Language) -> Prompts:
    """The file that comes with this version."""
    text = (resources.files("trainer") / "synthesis" / "prompts" / f"{language}.yaml").read_text(encoding="utf-8")
    return Prompts(text_hash(text), yaml.safe_load(text))
