"""Agreement among judges and with people, computed after the store is closed again, and kept while nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import streamlit as st

from dashboard.judges.queries import Held
from eval.agreement import Agreement
from eval.calibration import Report, report
from eval.judge_ratings import Ratings, judges_alpha, own_spread, pair_kappa
from eval.labels import REFUSAL


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table of judges among each other."""

    axis: str
    judges: tuple[str, ...]
    """Ids: two of them, or all, or one beside its own repeats."""
    measure: str
    """kappa, quadratic or alpha: keys of the catalogues, under `judges`."""
    agreement: Agreement


@st.cache_data(max_entries=16, show_spinner=False)
def among_judges(some: list[Ratings]) -> list[Measured]:
    """Kappa of each pair of judges, alpha of more than two, and alpha over each one's repeats, by axis."""
    found: list[Measured] = []
    for ratings in some:
        pairs = "kappa" if ratings.axis == REFUSAL else "quadratic"
        mine = tuple(ratings.by_judge)
        both = combinations(mine, 2)
        found += [Measured(ratings.axis, pair, pairs, pair_kappa(ratings, *pair)) for pair in both]
        if len(mine) > 2:
            found.append(Measured(ratings.axis, mine, "alpha", judges_alpha(ratings)))
        for judge in mine:
            spread = own_spread(ratings, judge)
            if spread is not None:
                found.append(Measured(ratings.axis, (judge,), "alpha", spread.alpha))
    return found


@st.cache_data(max_entries=16, show_spinner=False)
def with_people(held: Held, seed: int) -> Report | None:
    """What people's verdicts say of a judge, weighted by one over the probability with which each was sampled.

    None where no verdict counts: there is none, or all were given after seeing a judge's.
    """
    if not held.labels.rows:
        return None
    return report(held.labels.rows, held.told, seed, held.labels.seen_judge)
