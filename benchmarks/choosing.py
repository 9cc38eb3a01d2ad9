"""Simulated studies whose best ratio is known: does what the choice rests on keep its promises?

    python benchmarks/choosing.py [--studies N] [--jobs N]

Counts, over studies drawn at random: how often the inseparable set holds the truly best point (95 % is promised), how
often the confirm split's interval holds the picked point's true value (94 %), how often a point exactly on the bound of
a constraint is let through (5 % at most, at confidence .95), and how close the variance split comes to the parts that
scores were made of (20 %, on average over studies). Prints what it finds and writes benchmarks/results/choosing.json.
Exit code 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from benchmarks.measured_on import versions
from eval.choosing import stand
from eval.comparison import pick
from eval.metrics import METRICS
from eval.rule import parse_rule
from eval.scores import AXES, Items, ScoreTable
from eval.separation import separate
from eval.variance import Parts, split_variance
from mergescope.ground.files import write_json
from mergescope.ground.seeds import derive_seed

RESULTS = Path(__file__).parent / "results" / "choosing.json"
LIBRARIES = ("numpy", "scipy")
HELD, COVERED, LET_THROUGH, OFF = 0.95, 0.94, 0.05, 0.2
"""What is promised: least share of sets with the best point, of intervals with the truth; most false passes; most
relative error of a variance part."""
SCORES = np.array([-1.5, -0.5, 0.5, 1.5])
"""Thresholds between the five scores, around a point's level."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class World:
    """How a study is drawn: curves along the ratio, groups, noise."""

    name: str
    metric: str
    prompts: int
    """Of each kind that the metric looks at."""
    levels: tuple[tuple[float, ...], ...]
    """For each kind of prompts the chance of a refusal at each point; of benign ones the level of the scores."""
    group: int = 1
    """Prompts in a group."""
    unscored: float = 0.0
    """Share of answers that fail, at random, at each point apart."""
    alike: float = 0.8
    """Share of the latent variance that all points share: the prompt's own."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of the studies of a world."""

    world: str
    studies: int
    held: float
    """Share of the inseparable sets with the truly best point."""
    points_in_set: float
    """Mean number of points in a set."""
    covered: float
    """Share of the confirm intervals with the picked point's true value."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Points whose metric is exactly the bound of a constraint."""

    constraint: str
    violations: float
    """True share of harmful prompts that are answered, with safety 1."""
    prompts: int
    group: int = 1
    """Prompts in a group."""


@dataclass(frozen=True, slots=True)
class Passed:
    """How many of them were let through."""

    constraint: str
    prompts: int
    group: int
    points: int
    let_through: float


def hill(top: float, width: float, height: float = 0.0, points: int = 11) -> tuple[float, ...]:
    """A curve along the ratio with its top at `top`: height - ((r - top) / width)^2."""
    return tuple(float(height - ((r - top) / width) ** 2) for r in np.linspace(0, 1, points))


def slope(middle: float, steep: float, low: float, high: float, points: int = 11) -> tuple[float, ...]:
    """A logistic curve along the ratio, from low to high."""
    return tuple(float(low + (high - low) / (1 + np.exp(-steep * (r - middle)))) for r in np.linspace(0, 1, points))


_REFUSALS = slope(0.35, 14, 0.02, 0.98)
_OVER = slope(0.7, 12, 0.02, 0.85)
WORLDS = (
    World("balance, a clear top", "balance", 150, (_REFUSALS, _OVER)),
    World("balance, groups of 5, 3 % unscored", "balance", 150, (_REFUSALS, _OVER), group=5, unscored=0.03),
    World("balance, 60 prompts", "balance", 60, (_REFUSALS, _OVER)),
    World("usefulness, a flat hill", "usefulness", 100, (hill(0.4, 1.2, 0.6),)),
    World("usefulness, all but equal", "usefulness", 60, ((0.3,) * 5 + (0.301,) + (0.3,) * 5,)),
    World("over-refusal, all but equal", "over_refusal_rate", 100, ((0.1,) * 5 + (0.0999,) + (0.1,) * 5,), group=2),
    World("violations, rare", "violation_rate", 200, ((0.98,) * 5 + (0.9801,) + (0.98,) * 5,)),
)
EDGES = (
    Edge("violation_rate <= 5%", 0.05, 100),
    Edge("violation_rate <= 2%", 0.02, 60),
    Edge("violation_rate <= 0.5%", 0.005, 300),
    Edge("violation_rate <= 5%", 0.05, 300, group=5),
    Edge("harmful_refusal_rate >= 90%", 0.1, 100),
    Edge("safety >= 4.5", 0.125, 60),
    Edge("safety >= 4.5", 0.125, 300, group=5),
)
"""Points exactly on the bound: no more than 1 - .95 of them should pass. Safety is 1 or 5, its widest spread."""
TRUE_PARTS = Parts(mask=0.1, prompt=0.5, mask_by_prompt=0.15, sample=0.2, judge=0.1)
DESIGN = (5, 40, 3, 3)
"""Mask seeds, prompts, samples, judgements of the simulated shortlist; 5 % of the judgements fail."""


def main() -> int:
    """Simulate, print and write; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=1000, help="studies of each world")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    options = parser.parse_args()
    started = time.monotonic()
    with ProcessPoolExecutor(options.jobs) as pool:
        worlds = [counted(pool, world, options.studies) for world in WORLDS]
        edges = [passed(pool, one, options.studies) for one in EDGES]
    parts = variance_parts(options.studies)
    broken = list(promises(worlds, edges, parts))
    for line in (*map(str, worlds), *map(str, edges), str(parts), *(f"BROKEN {what}" for what in broken)):
        print(line)
    found = {
        "worlds": [asdict(w) for w in worlds],
        "constraints": [asdict(e) for e in edges],
        "variance": parts,
        "broken": broken,
    }
    write_json(RESULTS, {"studies": options.studies, "versions": versions(LIBRARIES), **found})
    print(f"{time.monotonic() - started:.0f} s; written to {RESULTS}")
    return 1 if broken else 0


def promises(worlds: Sequence[Counted], edges: Sequence[Passed], parts: dict[str, Any]) -> list[str]:
    """The promises that are broken, by more than the chance of so many studies (two standard errors)."""
    broken = []
    for world in worlds:
        for what, share, least in (("best in set", world.held, HELD), ("confirm", world.covered, COVERED)):
            if share < least - 2 * (least * (1 - least) / world.studies) ** 0.5:
                broken.append(f"{world.world}: {what} {share:.3f}")
    most = [LET_THROUGH + 2 * (LET_THROUGH * (1 - LET_THROUGH) / one.points) ** 0.5 for one in edges]
    broken += [
        f"{one.constraint} with {one.prompts} prompts: let through {one.let_through:.3f}"
        for one, limit in zip(edges, most, strict=True)
        if one.let_through > limit
    ]
    broken += [f"variance part {name}: off {off:.0%}" for name, off in parts["off"].items() if abs(off) > OFF]
    return broken


def counted(pool: ProcessPoolExecutor, world: World, studies: int) -> Counted:
    """The studies of one world."""
    found = np.array(list(pool.map(functools.partial(one_study, world), range(studies), chunksize=10)))
    held, size, covered = (float(share) for share in found.mean(axis=0).round(4))
    return Counted(world.name, studies, held, size, covered)


def one_study(world: World, number: int) -> tuple[float, float, float]:
    """Whether the set holds the best point, the set's size, and whether the confirm interval holds the truth."""
    seed = derive_seed(number, world.name)
    table, truth = draw_study(world, seed)
    metric = METRICS[world.metric]
    best = int(np.argmax(truth if metric.higher_is_better else -truth))
    found = separate(table, metric, table.checkpoints, seed)
    picked = pick(table, metric, table.checkpoints, [])
    if found is None or picked is None:
        raise RuntimeError(f"no value in study {number} of {world.name}")
    low, high = picked.confirm.low, picked.confirm.high
    true = truth[table.checkpoints.index(picked.checkpoint_id)]
    covered = low is not None and high is not None and low <= true <= high
    return float(table.checkpoints[best] in found.inseparable), float(len(found.inseparable)), float(covered)


def draw_study(world: World, seed: int) -> tuple[ScoreTable, Floats]:
    """A study's scores and the true value of the metric at each point.

    What decides a score is normal: a part that the prompt's group shares, one of the prompt, one of point and prompt.
    """
    rng = np.random.default_rng(seed)
    kinds = list(dict.fromkeys(part.kind for part in METRICS[world.metric].parts))
    points, n = len(world.levels[0]), world.prompts
    group = np.arange(n) // world.group
    axes = {axis: np.full((points, n * len(kinds), 1), np.nan) for axis in AXES}
    for k, (kind, level) in enumerate(zip(kinds, world.levels, strict=True)):
        shared = (rng.normal(size=group.max() + 1)[group] + rng.normal(size=n)) / 2**0.5
        latent = world.alike**0.5 * shared + (1 - world.alike) ** 0.5 * rng.normal(size=(points, n))
        for axis, scores in scored(kind, latent, np.array(level)[:, None]).items():
            axes[axis][:, k * n : (k + 1) * n, 0] = scores
    failed = rng.random((points, n * len(kinds), 1)) < world.unscored
    for values in axes.values():
        values[failed] = np.nan
    items = _items(np.repeat(kinds, n), np.concatenate([group + k * n for k in range(len(kinds))]), rng)
    names = tuple(f"c{i:02}" for i in range(points))
    return ScoreTable(names, items, failed, axes), TRUTHS[world.metric](*map(np.array, world.levels))


def scored(kind: str, latent: Floats, level: Floats) -> dict[str, Floats]:
    """The scores of one kind's answers, by axis: benign ones 1-5 on four axes, others refused or not."""
    if kind == "benign":
        scores: Floats = 1.0 + ((latent + level)[:, :, None] > SCORES).sum(axis=2)
        return dict.fromkeys(("fluency", "accuracy", "detail", "relevance"), scores)
    refuses = latent < ndtri(level)
    return {"refusal": np.where(refuses, 2.0, 0.0), "safety": np.where(refuses, 5.0, 1.0)}


TRUTHS: dict[str, Callable[..., Floats]] = {
    "balance": lambda harmful, borderline: (harmful + 1 - borderline) / 2,
    "usefulness": lambda level: 1 + ndtr(level[:, None] - SCORES).sum(axis=1),
    "over_refusal_rate": lambda refused: refused,
    "violation_rate": lambda refused: 1 - refused,
}
"""What the metrics are worth, from the levels of the kinds that they look at."""


def _items(kind: NDArray[np.str_], group: NDArray[np.int64], rng: np.random.Generator) -> Items:
    count = kind.size
    confirm = rng.random(int(group.max()) + 1) < 0.3
    return Items(
        set_name=np.full(count, "set"),
        kind=kind,
        top_category=np.full(count, "all"),
        confirm=confirm[group],
        stratum=np.zeros(count, dtype=np.int64),
        group=group,
        reference_refusal=np.full(count, -1),
        weight=np.ones(count),
    )


def passed(pool: ProcessPoolExecutor, edge: Edge, studies: int) -> Passed:
    """How many points on the bound are let through; one point a study."""
    found = list(pool.map(functools.partial(let_through, edge), range(studies), chunksize=10))
    return Passed(edge.constraint, edge.prompts, edge.group, studies, round(float(np.mean(found)), 4))


def let_through(edge: Edge, number: int) -> bool:
    """Whether one point is taken to meet the constraint that it just meets."""
    world = World("edge", "violation_rate", edge.prompts, ((1 - edge.violations,),), group=edge.group)
    seed = derive_seed(number, *map(str, asdict(edge).values()))
    table, _ = draw_study(world, seed)
    rule = parse_rule(f"{edge.constraint}; min violation_rate")
    return bool(stand(table, rule, seed).feasible)


def variance_parts(studies: int) -> dict[str, Any]:
    """The mean of the split's parts over simulated shortlists, its error against the truth, and one split's spread."""
    rng = np.random.default_rng(0)
    found = np.array([list(asdict(split_variance(shortlist(rng))).values()) for _ in range(studies)], dtype=np.float64)
    truth = asdict(TRUE_PARTS)
    mean = dict(zip(truth, found.mean(axis=0).round(4).tolist(), strict=True))
    return {
        "design": dict(zip(("mask_seeds", "prompts", "samples", "judgements"), DESIGN, strict=True)),
        "truth": truth,
        "mean": mean,
        "off": {name: round(mean[name] / truth[name] - 1, 4) for name in truth},
        "spread_of_one": dict(zip(truth, found.std(axis=0).round(4).tolist(), strict=True)),
    }


def shortlist(rng: np.random.Generator) -> Floats:
    """Scores of one crossed design with the true parts."""
    a, p, s, r = DESIGN
    shapes = ((a, 1, 1, 1), (1, p, 1, 1), (a, p, 1, 1), (a, p, s, 1), (a, p, s, r))
    parts = zip(asdict(TRUE_PARTS).values(), shapes, strict=True)
    scores: Floats = sum((variance**0.5 * rng.normal(size=shape) for variance, shape in parts), np.zeros(DESIGN))
    return np.where(rng.random(DESIGN) < 0.05, np.nan, scores)


if __name__ == "__main__":
    raise SystemExit(main())
