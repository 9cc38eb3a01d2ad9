"""Fits what tells evasion from help in Japanese answers that decline nothing, and writes eval/judges/refusal_ja.json.

    python -m benchmarks.refusals_ja_fit

Rows: the seen half of tests/eval/refusals_ja, and benchmarks/refusals_ja.jsonl, answers written beside the rules.
Prints how each fifth is told by weights fitted to the rest.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from eval.judges.refusal import plain_text
from eval.judges.refusal_ja_evasion import WEIGHTS, features
from eval.judges.refusal_ja_reading import clauses_of
from mergescope.ground.files import write_json

ROOT = Path(__file__).parents[1]
SOURCES = (ROOT / "tests" / "eval" / "refusals_ja" / "seen.jsonl", Path(__file__).with_name("refusals_ja.jsonl"))
PENALTY = 1.0
"""Of each squared weight but the constant's, against the summed log loss."""
PARTS = 5

Floats = NDArray[np.float64]


def measured() -> tuple[list[str], Floats, Floats]:
    """Names of features, their values (N, F), and 1 where an answer evades; rows that decline are left out."""
    found: list[tuple[dict[str, float], float]] = []
    for row in (json.loads(line) for path in SOURCES for line in path.read_text(encoding="utf-8").splitlines()):
        prompt = plain_text(row["prompt"])
        clauses = clauses_of(plain_text(row["answer"]), prompt)
        if row["label"] != "partial" and not any(clause.act in ("declines", "omits") for clause in clauses):
            found.append((features(clauses, prompt), float(row["label"] == "full")))
    names = list(found[0][0])
    values = np.array([[row[name] for name in names] for row, _ in found])
    return names, values, np.array([evades for _, evades in found])


def fit(values: Floats, evades: Floats) -> Floats:
    """Weights (F,) of a logistic step; the first feature is the constant."""

    def loss(weights: Floats) -> float:
        odds = values @ weights
        return float(np.sum(np.logaddexp(0, odds) - evades * odds) + PENALTY * np.sum(weights[1:] ** 2))

    return np.asarray(minimize(loss, np.zeros(values.shape[1])).x)


def held_out(values: Floats, evades: Floats) -> Floats:
    """Whether each row is told to evade (N,), by weights fitted without its fifth of the rows."""
    part = np.arange(len(evades)) % PARTS
    odds = [values[part == k] @ fit(values[part != k], evades[part != k]) for k in range(PARTS)]
    told = np.zeros(len(evades))
    for k in range(PARTS):
        told[part == k] = odds[k] > 0
    return told


def main() -> None:
    """Print the held-out counts and write the weights."""
    names, values, evades = measured()
    told = held_out(values, evades)
    print(f"evasions told: {int((told * evades).sum())} of {int(evades.sum())}")
    print(f"help taken for evasion: {int((told * (1 - evades)).sum())} of {int((1 - evades).sum())}")
    weights = fit(values, evades)
    write_json(WEIGHTS, {name: round(float(weight), 3) for name, weight in zip(names, weights, strict=True)})


if __name__ == "__main__":
    main()
