"""How often the intervals hold the truth, by simulation: rates, means, F1 and paired differences over a grid of cells.

    python -m benchmarks.coverage [--studies 4000] [--largest 2000]

Prints and writes benchmarks/results/coverage.json; docs/metrics.md shows its table. A cell is n prompts, a chance p
that an answer goes wrong, groups of one or five prompts, and one or three answers to a prompt; a study is one draw
of all of them, measured by the product's own functions (`eval.measure`, `eval.comparison`).

- Groups of five: each has its own chance, from a beta distribution with mean p, so that the correlation of two prompts
  of a group is .3. Prompts of groups of one have chance p.
- Prompts: where a prompt is answered more than once (three answers, or two checkpoints), it has its own chance, from a
  beta distribution around its group's, with correlation .5 between its answers.
- A wrong answer has safety 1 or 2 and refuses where it should not, or the other way round; a right one has safety 4 or
  5. Every other prompt should be refused. So the violation rate is p, safety 4.5 - 3 p, refusal F1 1 - p.
- Differences: another checkpoint has the same prompts, and of its wrong answers 30 % are mended.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measured_on import cpu, versions
from eval.comparison import differences_of
from eval.measure import Sums, collect, numbers_of
from eval.metrics import METRICS
from eval.scores import Items, ScoreTable
from eval.statistics import Floats, Interval

RESULT = Path(__file__).parent / "results" / "coverage.json"
IN_GROUP = 0.3
"""Correlation of two prompts of a group."""
IN_PROMPT = 0.5
"""Correlation of two answers to a prompt, beyond their group."""
MENDED = 0.3
"""Share of wrong answers that the other checkpoint mends."""
BATCH = 250
"""Studies drawn at once, so that memory stays small."""
NAMES = {"violation_rate": "rate", "safety": "mean", "refusal_f1": "F1"}
LEAST, MOST = 0.93, 0.99
"""Where a cell's coverage should lie; the average should lie between .94 and .97."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting of the simulation."""

    n: int
    p: float
    size: int
    """Prompts of a group."""
    repeats: int
    """Answers to a prompt."""

    def truth(self, metric: str) -> float:
        """What a metric would be with endless prompts."""
        return {"violation_rate": self.p, "safety": 4.5 - 3 * self.p, "refusal_f1": 1 - self.p}[metric]

    def mended(self) -> Cell:
        """The same, answered by the other checkpoint."""
        return Cell(self.n, self.p * (1 - MENDED), self.size, self.repeats)


CELLS = [Cell(*one) for one in product((60, 300, 3000), (0.005, 0.02, 0.1, 0.5), (1, 5), (1, 3))]


def simulate(cell: Cell, studies: int, seed: int) -> dict[str, float]:
    """Share of studies whose interval holds the truth, by statistic; `silent ...`: of studies where nothing differs.

    `silent rate`: all answers are right, or all wrong. `silent rate difference`: no prompt's answers differ.
    """
    rng = np.random.default_rng([seed, *(int(1000 * x) for x in (cell.n, cell.p, cell.size, cell.repeats))])
    held: dict[str, list[NDArray[np.bool_]]] = {}
    for start in range(0, studies, BATCH):
        for name, some in _batch(cell, min(BATCH, studies - start), rng):
            held.setdefault(name, []).append(some)
    return {name: round(float(np.concatenate(some).mean()), 4) for name, some in held.items()}


def _batch(cell: Cell, studies: int, rng: np.random.Generator) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    chances = _chances(cell, studies, rng)
    wrong = rng.random(chances.shape) < chances
    other = (rng.random(chances.shape) < chances) & (rng.random(chances.shape) >= MENDED)
    tables = [_table(cell, side, rng) for side in (wrong, other)]
    for metric, name in NAMES.items():
        first, second = (collect(table, METRICS[metric]) for table in tables)
        truth, change = cell.truth(metric), cell.truth(metric) - cell.mended().truth(metric)
        found = numbers_of(METRICS[metric], first)
        yield name, _holds(Interval(found.low, found.high), truth)
        yield f"{name} difference", _holds(differences_of(METRICS[metric], first.sums, second.sums)[1], change)
        if name == "rate":
            yield "silent rate", _silent(first)
            yield "silent rate difference", (first.sums[0] == second.sums[0]).all(axis=1)


def _chances(cell: Cell, studies: int, rng: np.random.Generator) -> Floats:
    """Chance of a wrong answer: (studies, n, repeats)."""
    groups = np.full((studies, cell.n // cell.size, 1), cell.p)
    if cell.size > 1:
        groups = _around(groups, IN_GROUP, rng)
    prompts = np.repeat(groups, cell.size, axis=1)
    return np.repeat(_around(prompts, IN_PROMPT, rng), cell.repeats, axis=2)


def _around(mean: Floats, correlation: float, rng: np.random.Generator) -> Floats:
    strength = (1 - correlation) / correlation
    drawn: Floats = rng.beta(np.maximum(mean * strength, 1e-12), np.maximum((1 - mean) * strength, 1e-12))
    return drawn


def _table(cell: Cell, wrong: NDArray[np.bool_], rng: np.random.Generator) -> ScoreTable:
    """Studies as checkpoints of one table."""
    places = np.arange(cell.n)
    refuses = places % 2 == 0
    items = Items(
        set_name=np.full(cell.n, "set"),
        kind=np.full(cell.n, "harmful"),
        top_category=np.full(cell.n, ""),
        confirm=np.zeros(cell.n, dtype=bool),
        stratum=np.zeros(cell.n, dtype=np.int64),
        group=places // cell.size,
        reference_refusal=np.where(refuses, 2, 0),
        weight=np.ones(cell.n),
    )
    axes = {
        "safety": np.where(wrong, 1.0, 4.0) + (rng.random(wrong.shape) < 0.5),
        "refusal": np.where(wrong != refuses[:, None], 2.0, 0.0),
    }
    names = tuple(str(number) for number in range(wrong.shape[0]))
    return ScoreTable(names, items, np.zeros(wrong.shape, dtype=bool), axes)


def _holds(interval: Interval, truth: float) -> NDArray[np.bool_]:
    held: NDArray[np.bool_] = (interval.low <= truth + 1e-12) & (truth - 1e-12 <= interval.high)
    return held


def _silent(sums: Sums) -> NDArray[np.bool_]:
    share = sums.sums[0].sum(axis=1) / sums.sums[1].sum(axis=1)
    return np.asarray((share == 0) | (share == 1))


def summary(cells: Sequence[Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """By statistic: average and extremes, and how many cells lie outside of 93-99 %."""
    found: dict[str, dict[str, Any]] = {}
    for name in (n for metric in NAMES.values() for n in (metric, f"{metric} difference")):
        values = np.array([cell[name] for cell in cells])
        found[name] = {
            "average": round(float(values.mean()), 4),
            "least": float(values.min()),
            "most": float(values.max()),
            "cells_below": int((values < LEAST).sum()),
            "cells_above": int((values > MOST).sum()),
        }
    return found


def table_lines(cells: Sequence[Mapping[str, float]]) -> Iterator[str]:
    """The grid as docs/metrics.md shows it, in per cent."""
    names = [n for metric in NAMES.values() for n in (metric, f"{metric} difference")]
    yield f"| n | p | in a group | answers | {' | '.join(names)} |"
    yield "|" + "---|" * (4 + len(names))
    for cell in cells:
        setting = [f"{cell[key]:g}" for key in ("n", "p", "size", "repeats")]
        yield "| " + " | ".join([*setting, *(f"{100 * cell[name]:.1f}" for name in names)]) + " |"


def main() -> None:
    arguments = _arguments()
    started = time.monotonic()
    cells = []
    for cell in CELLS:
        studies = min(arguments.studies, arguments.largest) if cell.n >= 3000 else arguments.studies
        setting = {"n": cell.n, "p": cell.p, "size": cell.size, "repeats": cell.repeats, "studies": studies}
        cells.append(setting | simulate(cell, studies, arguments.seed))
        print(json.dumps(cells[-1]), flush=True)
    result = {
        "machine": {"cpu": cpu(), "cores": os.cpu_count()},
        "versions": versions(["numpy"]),
        "setting": {"seed": arguments.seed, "in_group": IN_GROUP, "in_prompt": IN_PROMPT, "mended": MENDED},
        "seconds": round(time.monotonic() - started, 1),
        "summary": summary(cells),
        "cells": cells,
    }
    print("\n".join(table_lines(cells)), json.dumps(result["summary"], indent=1), sep="\n")
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=4000, help="of each cell [4000]")
    parser.add_argument("--largest", type=int, default=2000, help="at most, of cells of 3,000 prompts [2000]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULT)
    return parser.parse_args()


if __name__ == "__main__":
    main()
