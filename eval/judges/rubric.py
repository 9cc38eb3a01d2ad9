"""Rubrics: what an LLM judge is told, the schema that it must fill, and how its verdict is checked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

import yaml

from eval.judge import AxisScore, Question
from mergescope.ground.ids import text_hash

_USEFULNESS = ("fluency", "accuracy", "detail", "relevance")
_FENCE = re.compile(r"<{3,}|>{3,}")
_HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Rubric:
    """One language's rubric file."""

    sha256: str
    """Of the file's text: part of the judge's identity."""
    content: Mapping[str, Any]

    def messages(self, question: Question) -> list[dict[str, str]]:
        """What the judge is shown: rules and axes, then prompt, answer and reference, or two answers, fenced."""
        kind = self.content["kinds"][question.rubric]
        axes = "\n".join(f"- {axis}: {self.content['axes'][axis]['text'].strip()}" for axis in kind["axes"])
        mark = question.judgement_id[-12:]
        prompt = "\n\n".join(f"{turn['role']}: {turn['content']}" for turn in question.messages)
        shown = {"prompt": prompt, "answer": question.answer, "reference": question.reference}
        if question.other is not None:
            shown = {"prompt": prompt, "first": question.answer, "second": question.other}
        fenced = [_fenced(self.content["names"][name], mark, text) for name, text in shown.items() if text is not None]
        return [
            {"role": "system", "content": f"{self.content['system'].strip()}\n\n{kind['text'].strip()}\n{axes}"},
            {"role": "user", "content": "\n\n".join(fenced)},
        ]

    def schema(self, kind: str) -> dict[str, Any]:
        """JSON schema of a verdict on a prompt of this kind: for each axis the reason, then the grade."""
        axes = {axis: self._axis_schema(axis) for axis in self.content["kinds"][kind]["axes"]}
        return _object(axes)

    def read(self, kind: str, verdict: str) -> tuple[AxisScore, ...] | None:
        """The scores in a judge's words; None where they are not what the schema offers.

        Usefulness of a borderline prompt that was refused does not apply and is left out.
        """
        try:
            raw = json.loads(verdict)
            scores = tuple(self._scores(kind, raw))
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        refused = any(score.label == "full_refusal" for score in scores)
        return tuple(score for score in scores if not (refused and score.axis in _USEFULNESS))

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


def neutralised(text: str) -> str:
    """`text` that cannot end its fence: runs of angle brackets become guillemets, hidden characters their names."""
    visible = _HIDDEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return _FENCE.sub(lambda match: ("‹" if match[0][0] == "<" else "›") * len(match[0]), visible)


def _fenced(name: str, mark: str, text: str) -> str:
    return f"<<<{name} {mark}>>>\n{neutralised(text)}\n<<<END {mark}>>>"


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
