"""The demo's world: a small Japanese corpus, preference triples and held-out prompts, combined from the TOML files."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mergescope.ground.files import write_atomic
from mergescope.ground.seeds import derive_seed
from trainer.demo.self_aligning import seed_rows, self_aligning_talks
from trainer.demo.speech import DATA, KINDS, Phrasings, Subject, load_phrasings, load_subjects, messages
from trainer.selfalign.prompts import FOLDER as PROMPTS

CONVERSATIONS = 8
"""Training phrasings that the corpus uses for each seen subject."""
TRIPLES = {"harmful": 4, "borderline": 8, "benign": 4}
"""Triples for each seen subject, each with a phrasing of its own."""


def write_world(out: Path, seed: int, *, selfalign: bool = False) -> None:
    """Write corpus.jsonl, triples-{kind}.jsonl and eval-{seen,unseen}.jsonl; the same seed gives the same bytes.

    selfalign: the corpus has what self-alignment asks the base for, too, and there is a file seeds.jsonl.
    """
    phrasings, subjects = load_phrasings(), load_subjects()
    rows = corpus(subjects, phrasings, seed)
    if selfalign:
        rows = _mixed([*rows, *self_aligning_talks(subjects, phrasings, seed)], seed)
        _write_lines(out / "seeds.jsonl", seed_rows(subjects, phrasings, seed))
    _write_lines(out / "corpus.jsonl", rows)
    for kind in KINDS:
        chosen = [s for s in subjects if s.kind == kind and s.seen]
        _write_lines(out / f"triples-{kind}.jsonl", triples(chosen, phrasings, seed))
    for seen in (True, False):
        held_out = [s for s in subjects if s.seen == seen]
        _write_lines(out / f"eval-{'seen' if seen else 'unseen'}.jsonl", held_out_prompts(held_out, phrasings))


def sources(*, selfalign: bool) -> list[Path]:
    """The files that a world is made of."""
    own = [path for path in sorted(DATA.glob("*.*")) if path.is_file()]
    return [*own, PROMPTS / "ja.toml"] if selfalign else own


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
        yield messages(prompt, phrasings.refusal(subject, number) if refuses else answer)
        if subject.kind == "harmful" and number % 2 == 0:
            yield messages(prompt, answer, system=str(phrasings.raw["toxic_constraint"]))


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


def _mixed(rows: list[dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    return random.Random(derive_seed(seed, "mixed")).sample(rows, len(rows))


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
