"""`mergescope judge agreement`: how far a study's judges agree with each other, and each with itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from eval.judge_ratings import Ratings, judges_alpha, load_ratings, own_spread, pair_kappa
from eval.store import open_store
from mergescope.ground.errors import MergescopeError, printable
from mergescope.ground.seeds import derive_seed
from mergescope.study import Study
from mergescope.sweep import study_id


def agreement_lines(study: Study, store: Path) -> Iterator[str]:
    """Per axis: kappa of each pair of judges, alpha of all, and what each judge's repeats say, line by line.

    Raises StoreError for a results file that is not ours, MergescopeError where nothing of the study is judged.
    """
    with open_store(store, read_only=True) as connection:
        found = load_ratings(connection, study_id(study), derive_seed(study.recipe.seed, "agreement"))
        names = dict(connection.execute("SELECT judge_id, name FROM judge").fetchall())
    if not found:
        cure = "run `mergescope eval STUDY` first"
        raise MergescopeError("no judgements of this study yet", where=store, cure=cure)
    for ratings in found:
        yield f"{ratings.axis}: {ratings.clusters.group.size} distinct judged answers, {ratings.clusters.count} groups"
        yield from (f"  {line}" for line in _axis(ratings, _told_apart(names, ratings)))


def _axis(ratings: Ratings, names: Mapping[str, str]) -> Iterator[str]:
    measure = "kappa" if ratings.axis == "refusal" else "quadratic kappa"
    for first, second in combinations(ratings.by_judge, 2):
        kappa = pair_kappa(ratings, first, second)
        yield f"{names[first]} and {names[second]}: {measure} {kappa.text}, n {kappa.n}"
    if len(ratings.by_judge) > 2:
        alpha = judges_alpha(ratings)
        yield f"all {len(ratings.by_judge)} judges: alpha {alpha.text}, n {alpha.n}"
    for judge in ratings.by_judge:
        spread = own_spread(ratings, judge)
        if spread is not None:
            apart = f"{spread.unlike:.0%} of answers unlike, mean range {spread.mean_range:.2f}"
            yield f"{names[judge]} over its repeats: alpha {spread.alpha.text}, n {spread.n}; {apart}"
        elif len(ratings.by_judge) == 1:
            yield f"{names[judge]} judges alone, and once: add a judge to the recipe, or `repeats`"


def _told_apart(names: Mapping[str, str], ratings: Ratings) -> dict[str, str]:
    """Names of judges as lines show them; two of one name with their ids."""
    mine = {judge: printable(names[judge]) for judge in ratings.by_judge}
    counted = list(mine.values())
    return {judge: name if counted.count(name) == 1 else f"{name} ({judge[:10]})" for judge, name in mine.items()}
