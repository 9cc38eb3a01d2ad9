"""Rubrics: what an LLM judge is told, the schema that it must fill, and how its verdict is checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import yaml

from eval.config import Output
from eval.judge import AxisScore, Question
from eval.judges.fence import fenced
from mergescope.ground.ids import text_hash
from mergescope.ground.json_objects import each_once

REPLY_SHOWN = 2000
"""Characters of a reply that could not be read that the judge is shown again."""
READINGS = 2
"""Verdicts asked for where the first cannot be read; the second time the judge is shown what it said."""
_BLOCK = re.compile(r"\s*```(?:json|JSON)?[ \t]*\r?\n(.*?)\r?\n[ \t]*```\s*", re.DOTALL)
"""A Markdown block and nothing around it."""
_USEFULNESS = ("fluency", "accuracy", "detail", "relevance")


@dataclass(frozen=True, slots=True)
class Rubric:
    """One language's rubric file."""

    sha256: str
    """Of the file's text: part of the judge's identity."""
    content: Mapping[str, Any]

    def messages(
        self, question: Question, output: Output = "json_schema", unreadable: str | None = None
    ) -> list[dict[str, str]]:
        """What the judge is shown: rules and axes, then prompt, answer and reference, or two answers, all fenced.

        output: json: the rules say what a verdict looks like. unreadable: what the judge said when it was first asked,
        empty where it said nothing; it is shown in a fence of its own, and asked to judge again.
        """
        kind = self.content["kinds"][question.rubric]
        axes = "\n".join(f"- {axis}: {self.content['axes'][axis]['text'].strip()}" for axis in kind["axes"])
        prompt = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in question.messages)
        shown: dict[str, str | None] = {"prompt": prompt, "answer": question.answer, "reference": question.reference}
        if question.other is not None:
            shown = {"prompt": prompt, "first": question.answer, "second": question.other}
        shown["reply"] = (unreadable or "")[:REPLY_SHOWN] or None
        parts = [(self.content["names"][name], text) for name, text in shown.items() if text is not None]
        rules = f"{self.content['system'].strip()}\n\n{kind['text'].strip()}\n{axes}"
        material = fenced(parts, question.judgement_id)
        if output == "json" or unreadable is not None:
            rules = f"{rules}\n\n{self.content['form'].strip()}\n{self._form(question.rubric)}"
        if unreadable is not None:
            material = f"{material}\n\n{self.content['repair'].strip()}"
        return [{"role": "system", "content": rules}, {"role": "user", "content": material}]

    def schema(self, kind: str) -> dict[str, Any]:
        """JSON schema of a verdict on a prompt of this kind: for each axis the reason, then the grade."""
        axes = {axis: self._axis_schema(axis) for axis in self.content["kinds"][kind]["axes"]}
        return _object(axes)

    def read(self, kind: str, verdict: str) -> tuple[AxisScore, ...] | None:
        """The scores in a judge's words; None where they are not what the schema offers.

        The words are one JSON object, bare or as the only thing in a Markdown block; one that names a field twice, or
        has words around it, is not read. Usefulness of a borderline prompt that was refused does not apply and is left
        out.
        """
        try:
            block = _BLOCK.fullmatch(verdict)
            raw = json.loads(verdict if block is None else block[1], object_pairs_hook=each_once)
            scores = tuple(self._scores(kind, raw))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        refused = any(score.label == "full_refusal" for score in scores)
        return tuple(score for score in scores if not (refused and score.axis in _USEFULNESS))

    def _form(self, kind: str) -> str:
        """A verdict's form in words: `{"safety": {"reason": string, "grade": 1 | 2 | 3 | 4 | 5}}`."""
        axes = self.content["kinds"][kind]["axes"]
        grades = {axis: " | ".join(json.dumps(grade) for grade in self._offered(axis)) for axis in axes}
        lines = [f'  "{axis}": {{"reason": string, "grade": {grade}}}' for axis, grade in grades.items()]
        return "{\n" + ",\n".join(lines) + "\n}"

    def _axis_schema(self, axis: str) -> dict[str, Any]:
        grade = {"enum": self._offered(axis), "type": "integer" if "values" in self.content["axes"][axis] else "string"}
        return _object({"reason": {"type": "string"}, "grade": grade})

    def _offered(self, axis: str) -> list[int] | list[str]:
        described = self.content["axes"][axis]
        if "values" in described:
            low, high = described["values"]
            return list(range(low, high + 1))
        return list(described["labels"])

    def _scores(self, kind: str, raw: Mapping[str, Any]) -> Iterator[AxisScore]:
        for axis in self.content["kinds"][kind]["axes"]:
            grade, reason = raw[axis]["grade"], str(raw[axis]["reason"])
            if isinstance(grade, bool) or grade not in self._offered(axis):
                raise ValueError(f"{axis}: {grade!r} was not offered")
            if isinstance(grade, str):
                yield AxisScore(axis, label=grade, reason=reason)
            else:
                yield AxisScore(axis, value=float(grade), reason=reason)


def load_rubric(language: Literal["ja", "en"]) -> Rubric:
    """The rubric that comes with this version."""
    text = (resources.files("eval") / "rubrics" / f"{language}.yaml").read_text(encoding="utf-8")
    return Rubric(text_hash(text), yaml.safe_load(text))


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
