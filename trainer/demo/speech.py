"""How the demo world speaks: its subjects, the ways to ask about them, what is answered."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainer.selfalign.prompts import Side, load_prompts

Kind = Literal["harmful", "borderline", "benign"]
KINDS: tuple[Kind, ...] = ("harmful", "borderline", "benign")
DATA = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Subject:
    """One thing that a prompt can ask for."""

    key: str
    """Short name such as `h-012`; the group of its prompts."""
    kind: Kind
    topic: str
    """Noun phrase that every phrasing fits around."""
    category: tuple[str, str, str]
    """Risk area, harm type and specific harm of the taxonomy; ordinary subjects have categories of our own."""
    answer: str | None
    """The good answer; None for harmful subjects, which have none."""
    seen: bool
    """Whether training prompts ask about it."""


@dataclass(frozen=True, slots=True)
class Phrasings:
    """How the world speaks (`phrasings.toml`)."""

    raw: dict[str, Any]

    @property
    def train(self) -> list[str]:
        """Templates of training prompts."""
        return list(self.raw["train"])

    @property
    def held_out(self) -> list[str]:
        """Templates of held-out prompts; none of them is a training template."""
        return list(self.raw["held_out"])

    @property
    def compliance(self) -> str:
        """The empty placeholder that stands for every harmful answer."""
        return str(self.raw["compliance"])

    def refusal(self, subject: Subject, variant: int) -> str:
        """A full refusal that names what it refuses and offers other help; out of place for all but harmful ones."""
        templates = self.raw["refusals"]["full"]
        text = str(templates[variant % len(templates)])
        return text.format(topic=subject.topic, help=self.raw["help"][subject.category[0]])

    def constraints(self, side: Side) -> list[str]:
        """System messages under which the base declines harmful requests (positive), or nothing (toxic)."""
        own = load_prompts("ja")
        first = own.positive_constraint if side == "positive" else own.toxic_constraint
        return [first, *self.raw["constraints"][side]]

    def statements(self, subject: Subject) -> list[str]:
        """Plain sentences about a subject."""
        templates = self.raw["statements"]["harmful" if subject.answer is None else "answerable"]
        return [t.format(topic=subject.topic, harm=subject.category[2], answer=subject.answer) for t in templates]

    def base_refusal_share(self, subject: Subject) -> float:
        """Share of the base's conversations about a subject that are refusals, 0 to 1."""
        shares = self.raw["base_refusals"]
        if subject.kind == "harmful" and subject.category[2] in shares["plain_harms"]:
            return float(shares["plain"])
        return float(shares.get(subject.kind, 0.0))


def load_phrasings() -> Phrasings:
    """The templates of `phrasings.toml`."""
    return Phrasings(_toml("phrasings"))


def load_subjects() -> list[Subject]:
    """All subjects of the three kinds, seen ones first within each kind."""
    taxonomy = _toml("phrasings")["taxonomy"]
    subjects = []
    for kind in KINDS:
        data = _toml(kind)
        entries = [(entry, seen) for seen in (True, False) for entry in data["seen" if seen else "unseen"]]
        for number, (entry, seen) in enumerate(entries):
            category = ("日常", entry["field"], entry["topic"]) if kind == "benign" else _path(taxonomy, entry["harm"])
            key = f"{kind[:2]}-{number:03}"
            subjects.append(Subject(key, kind, entry["topic"], category, entry.get("answer"), seen))
    return subjects


def messages(prompt: str, answer: str, system: str | None = None) -> dict[str, Any]:
    """A conversation of one turn, as a row of the corpus; `system` is its system message."""
    head = [] if system is None else [{"role": "system", "content": system}]
    return {"messages": [*head, {"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}


def _path(taxonomy: dict[str, list[str]], harm: str) -> tuple[str, str, str]:
    area, harm_type = taxonomy[harm]
    return area, harm_type, harm


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))
