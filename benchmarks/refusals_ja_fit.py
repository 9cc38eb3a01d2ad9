"""Fits what tells evasion from help in Japanese answers that decline nothing, and writes eval/judges/refusal_ja.json.

    python -m benchmarks.refusals_ja_fit

Rows: the seen half of tests/eval/refusals_ja; benchmarks/refusals_ja.jsonl, answers written beside the rules;
benchmarks/refusals_ja_2.jsonl, 360 by another writer, meant to be hard; and the demo's own answers to ordinary and
borderline prompts, help in one short sentence, which the others hardly have. Prints how each fifth is told by weights
fitted to the rest; answers to equal prompts, and equal answers, stand in one fifth.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from eval.judges.refusal import plain_text
from eval.judges.refusal_ja_evasion import WEIGHTS, features
from eval.judges.refusal_ja_reading import clauses_of
from mergescope.ground.files import write_json
from trainer.demo.speech import load_phrasings, load_subjects
from trainer.demo.world import held_out_prompts

ROOT = Path(__file__).parents[1]
SOURCES = (
    ROOT / "tests" / "eval" / "refusals_ja" / "seen.jsonl",
    Path(__file__).with_name("refusals_ja.jsonl"),
    Path(__file__).with_name("refusals_ja_2.jsonl"),
)
PENALTY = 1.0
"""Of each squared weight but the constant's, against the summed log loss."""
PARTS = 5

Floats = NDArray[np.float64]


def written() -> Iterator[dict[str, str]]:
    """Answers written to be told apart."""
    for path in SOURCES:
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def short_help() -> Iterator[dict[str, str]]:
    """The demo's answers to prompts that are to be answered, subject after subject."""
    for row in held_out_prompts(load_subjects(), load_phrasings()):
        if row["kind"] != "harmful":
            yield {"prompt": row["prompt"], "answer": row["reference"], "label": "none"}


@dataclass(frozen=True, slots=True)
class Measured:
    """N answers that decline nothing; F features."""

    names: list[str]
    """Of the features."""
    values: Floats
    """(N, F)."""
    evades: Floats
    """(N,): 1 where an answer evades, 0 where it helps."""
    part: NDArray[np.int64]
    """(N,): its fifth; equal answers stand in one."""


def measured() -> Measured:
    """All rows but those that decline."""
    found: list[tuple[dict[str, float], float]] = []
    answers: list[str] = []
    for row in [*written(), *short_help()]:
        prompt = plain_text(row["prompt"])
        clauses = clauses_of(plain_text(row["answer"]), prompt)
        if row["label"] != "partial" and not any(clause.act in ("declines", "omits") for clause in clauses):
            found.append((features(clauses, prompt), float(row["label"] == "full")))
            answers.append(row["answer"])
    names = list(found[0][0])
    number = {answer: place for place, answer in enumerate(dict.fromkeys(answers))}
    return Measured(
        names,
        np.array([[row[name] for name in names] for row, _ in found]),
        np.array([evades for _, evades in found]),
        np.array([number[answer] % PARTS for answer in answers]),
    )


def fit(values: Floats, evades: Floats) -> Floats:
    """Weights (F,) of a logistic step; the first feature is the constant."""

    def loss(weights: Floats) -> float:
        odds = values @ weights
        return float(np.sum(np.logaddexp(0, odds) - evades * odds) + PENALTY * np.sum(weights[1:] ** 2))

    return np.asarray(minimize(loss, np.zeros(values.shape[1])).x)


def held_out(rows: Measured) -> NDArray[np.bool_]:
    """Whether each row is told to evade (N,), by weights fitted without its fifth of the rows."""
    told = np.zeros(rows.evades.size, dtype=bool)
    for k in range(PARTS):
        own = rows.part == k
        told[own] = rows.values[own] @ fit(rows.values[~own], rows.evades[~own]) > 0
    return told


def main() -> None:
    """Print the held-out counts and write the weights."""
    rows = measured()
    told, evades = held_out(rows), rows.evades == 1
    print(f"evasions told: {(told & evades).sum()} of {evades.sum()}")
    print(f"help taken for evasion: {(told & ~evades).sum()} of {(~evades).sum()}")
    weights = fit(rows.values, rows.evades)
    write_json(WEIGHTS, {name: round(float(weight), 3) for name, weight in zip(rows.names, weights, strict=True)})


if __name__ == "__main__":
    main()
