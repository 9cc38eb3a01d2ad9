"""Whether the intervals of both win rates hold the true value as often as they say, on simulated judges.

    python -m benchmarks.pair_intervals

Prints and writes benchmarks/results/pair_intervals.json. A judge prefers a checkpoint by a level and by how much longer
its answer is, and calls a share of the pairs ties; on average its answers are half a standard deviation longer. Pairs
of one group of five share their fate with chance 0.3.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from eval.length_control import fit_level
from eval.measure import measure
from eval.metrics import METRICS
from eval.scores import PAIR, Items, ScoreTable
from eval.statistics import Estimate, Floats

RESULT = Path(__file__).parent / "results" / "pair_intervals.json"
MANY = 400_000
"""Pairs that stand for endlessly many."""
LONGER = 0.5
"""Mean of the differences in length, in standard deviations."""
SHARED = 0.3


@dataclass(frozen=True, slots=True)
class Setting:
    """One cell of the grid."""

    pairs: int
    group: int
    """Pairs in each group."""
    level: float
    """Logit of a win at equal length, ties apart."""
    slope: float
    """Logits that length alone is worth."""
    ties: float


def grid() -> Iterator[Setting]:
    """All cells."""
    judges = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.6), (0.0, 2.0, 0.3), (1.0, 2.0, 0.3), (2.5, 1.0, 0.3), (-1.0, 3.0, 0.6))
    for pairs, group, judge in itertools.product((60, 300), (1, 5), judges):
        yield Setting(pairs, group, *judge)


def coverage(setting: Setting, studies: int, rng: np.random.Generator) -> dict[str, Any]:
    """Share of the studies whose intervals hold the truth, and their mean width, for both win rates."""
    plain, even = truth(setting, rng)
    table = simulated(setting, studies, rng)
    true = {"win_rate": plain, "win_rate_lc": even}
    cells = {name: _cell(measure(table, METRICS[name]), value) for name, value in true.items()}
    return {**asdict(setting), **cells}


def truth(setting: Setting, rng: np.random.Generator) -> tuple[float, float]:
    """The win rate, and that at equal length, of endlessly many pairs."""
    x = np.tanh(rng.normal(LONGER, 1.0, MANY))
    won = (1 - setting.ties) * expit(setting.level + setting.slope * x) + setting.ties / 2
    fit = fit_level(won[None], x[None], np.ones((1, MANY)))
    return float(won.mean()), float(expit(fit.level[0]))


def simulated(setting: Setting, studies: int, rng: np.random.Generator) -> ScoreTable:
    """One study a checkpoint."""
    shape = studies, setting.pairs
    group = np.repeat(np.arange(setting.pairs // setting.group), setting.group)
    longer = rng.normal(LONGER, 1.0, shape)
    chance = rng.random(shape)
    if setting.group > 1:
        chance = np.where(rng.random(shape) < SHARED, rng.random((studies, group[-1] + 1))[:, group], chance)
    won = (chance < expit(setting.level + setting.slope * np.tanh(longer))).astype(np.float64)
    return _table(np.where(rng.random(shape) < setting.ties, 0.5, won), longer, group)


def _table(won: Floats, longer: Floats, group: Any) -> ScoreTable:
    studies, pairs = won.shape
    word = np.array(["x"] * pairs)
    none = np.zeros(pairs, dtype=np.int64)
    items = Items(word, np.array([PAIR] * pairs), word, none.astype(bool), none, group, none - 1, np.ones(pairs))
    axes = {"preference": won[:, :, None], "longer": longer[:, :, None]}
    return ScoreTable(tuple(f"c{i}" for i in range(studies)), items, np.zeros((studies, pairs, 1), dtype=bool), axes)


def _cell(found: Sequence[Estimate], true: float) -> dict[str, float]:
    ends = np.array([(one.low, one.high) for one in found], dtype=np.float64)
    held = float(((ends[:, 0] <= true) & (true <= ends[:, 1])).mean())
    return {"truth": round(true, 4), "coverage": held, "width": round(float((ends[:, 1] - ends[:, 0]).mean()), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="for each cell [2000]")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    cells = [coverage(setting, arguments.studies, rng) for setting in grid()]
    means = {name: float(np.mean([cell[name]["coverage"] for cell in cells])) for name in ("win_rate", "win_rate_lc")}
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "scipy")}
    result = {
        "versions": versions | {"python": platform.python_version()},
        "studies": arguments.studies,
        "mean_coverage": means,
        "cells": cells,
    }
    print(json.dumps(result, indent=1))
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
