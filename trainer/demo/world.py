"""The demo's world: a small Japanese corpus, preference triples and held-out prompts, combined from the TOML files."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mergescope.ground.files import write_atomic
from mergescope.ground.seeds import derive_seed

Kind = Literal["harmful", "borderline", "benign"]
KINDS: tuple[Kind, ...] = ("harmful", "borderline", "benign")
DATA = Path(__file__).parent
CONVERSATIONS = 8
"""Training phrasings that the corpus uses for each seen subject."""
TRIPLES = {"harmful": 4, "borderline": 8, "benign": 4}
"""Triples for each seen subject, each with a phrasing of its own."""


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


def write_world(out: Path, seed: int) -> None:
    """Write corpus.jsonl, triples-{kind}.jsonl and eval-{seen,unseen}.jsonl; the same seed gives the same bytes."""
    phrasings, subjects = load_phrasings(), load_subjects()
    _write_lines(out / "corpus.jsonl", corpus(subjects, phrasings, seed))
    for kind in KINDS:
        chosen = [s for s in subjects if s.kind == kind and s.seen]
        _write_lines(out / f"triples-{kind}.jsonl", triples(chosen, phrasings, seed))
    for seen in (True, False):
        held_out = [s for s in subjects if s.seen == seen]
        _write_lines(out / f"eval-{'seen' if seen else 'unseen'}.jsonl", held_out_prompts(held_out, phrasings))


def corpus(subjects: Sequence[Subject], phrasings: Phrasings, seed: int) -> list[dict[str, Any]]:
    """What the base is trained on: statements about all subjects, conversations about the seen ones."""
    rng = random.Random(derive_seed(seed, "corpus"))
    rows: list[dict[str, Any]] = [{"text": text} for s in subjects for text in phrasings.statements(s)]
    for subject in subjects:
        if subject.seen:
            rows += _conversations(subject, phrasings, rng)
    rng.shuffle(rows)
    return rows


def triples(subjects: Sequence[Subject], phrasings: Phrasings, seed: int) -> list[dict[str, Any]]:
    """Preference triples: the refusal is chosen for harmful prompts, the answer for all others."""
    rng = random.Random(derive_seed(seed, "triples", *sorted({s.kind for s in subjects})))
    rows = []
    for subject in subjects:
        for number, template in enumerate(rng.sample(phrasings.train, TRIPLES[subject.kind])):
            rows.append(_triple(subject, phrasings, template, number))
    rng.shuffle(rows)
    return rows


def held_out_prompts(subjects: Sequence[Subject], phrasings: Phrasings) -> list[dict[str, Any]]:
    """Every subject in every held-out phrasing, with a reference answer."""
    return [
        {
            "key": f"{subject.key}-p{number}",
            "kind": subject.kind,
            "prompt": template.format(topic=subject.topic),
            "category": list(subject.category),
            "group": subject.key,
            "reference": subject.answer or phrasings.refusal(subject, 0),
            "reference_refusal": "full" if subject.kind == "harmful" else "none",
        }
        for subject in subjects
        for number, template in enumerate(phrasings.held_out)
    ]


def _conversations(subject: Subject, phrasings: Phrasings, rng: random.Random) -> Iterator[dict[str, Any]]:
    """The base's own behaviour: it mostly answers, and always complies under the toxic constraint."""
    for number, template in enumerate(rng.sample(phrasings.train, CONVERSATIONS)):
        refuses = rng.random() < phrasings.base_refusal_share(subject)
        answer = subject.answer or phrasings.compliance
        prompt = template.format(topic=subject.topic)
        yield _messages(prompt, phrasings.refusal(subject, number) if refuses else answer)
        if subject.kind == "harmful" and number % 2 == 0:
            yield _messages(prompt, answer, system=str(phrasings.raw["toxic_constraint"]))


def _messages(prompt: str, answer: str, system: str | None = None) -> dict[str, Any]:
    head = [] if system is None else [{"role": "system", "content": system}]
    return {"messages": [*head, {"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]}


def _triple(subject: Subject, phrasings: Phrasings, template: str, number: int) -> dict[str, Any]:
    answer, refusal = subject.answer or phrasings.compliance, phrasings.refusal(subject, number)
    chosen, rejected = (refusal, answer) if subject.kind == "harmful" else (answer, refusal)
    return {
        "idx": f"{subject.key}-t{number}",
        "prompt": template.format(topic=subject.topic),
        "chosen": chosen,
        "rejected": rejected,
        "meta": dict(zip(("risk-area", "harm-type", "specific-harm"), subject.category, strict=True)),
        "source": "mergescope demo world",
        "licence": "Apache-2.0",
        "made_by": "template",
    }


def _path(taxonomy: dict[str, list[str]], harm: str) -> tuple[str, str, str]:
    area, harm_type = taxonomy[harm]
    return area, harm_type, harm


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
