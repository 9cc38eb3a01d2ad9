"""What each judge of a study says of the same answers: ratings for measures of agreement, straight from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np

from eval.agreement import Agreement, Clusters, interval_alpha, nominal_alpha, nominal_kappa, quadratic_kappa
from eval.belonging import ANSWERS
from eval.interchange.forms import HIGHEST, LOWEST, VALUED
from eval.labels import CLASSES, REFUSAL
from eval.scores import CODE
from eval.statistics import Floats

K = len(CLASSES)


@dataclass(frozen=True, slots=True)
class Ratings:
    """All judges' words on one axis. N distinct judged answers: equal answers of several checkpoints are one."""

    axis: str
    clusters: Clusters
    """Answers to items of one group (subject, contrast pair, conversation) stand together."""
    by_judge: Mapping[str, Floats]
    """By judge id, (P, N): its repeats, NaN where it gave none. Refusal: 0, 1, 2; others 1 to 5."""


@dataclass(frozen=True, slots=True)
class OwnSpread:
    """One judge's repeats on one axis, over the answers that it judged more than once."""

    alpha: Agreement
    """Krippendorff's alpha among the repeats."""
    n: int
    unlike: float
    """Share of the answers whose repeats are not all equal."""
    mean_range: float
    """Mean of the highest minus the lowest repeat, in classes or points of the scale."""


def load_ratings(connection: duckdb.DuckDBPyConnection, study_id: str, seed: int) -> list[Ratings]:
    """The study's ratings by axis; axes that nobody scored are left out. seed: fixes the bootstrap draws."""
    frame = connection.execute(_RATINGS, {"study": study_id}).df()
    return [_ratings(str(axis), rows, seed) for axis, rows in frame.groupby("axis", sort=True)]


def middle(axis: str, repeats: Floats) -> Floats:
    """The median of each answer's repeats (P, N): (N,); of two classes the lower one, as metrics count them."""
    known = ~np.isnan(repeats)
    if axis != REFUSAL:
        return np.array([np.median(one[k]) if k.any() else np.nan for one, k in zip(repeats.T, known.T, strict=True)])
    place = np.maximum((known.sum(axis=0) - 1) // 2, 0)
    chosen: Floats = np.sort(repeats, axis=0)[place, np.arange(repeats.shape[1])]  # NaN sorts last
    return chosen


def pair_kappa(ratings: Ratings, first: str, second: str) -> Agreement:
    """Kappa of two judges, by their medians: nominal for refusal, quadratic for 1 to 5."""
    a, b = (middle(ratings.axis, ratings.by_judge[judge]) for judge in (first, second))
    if ratings.axis == REFUSAL:
        return nominal_kappa(a, b, K, ratings.clusters)
    return quadratic_kappa(a, b, LOWEST, HIGHEST, ratings.clusters)


def judges_alpha(ratings: Ratings) -> Agreement:
    """Krippendorff's alpha of all judges, by their medians."""
    return _alpha(ratings, np.stack([middle(ratings.axis, one) for one in ratings.by_judge.values()]))


def own_spread(ratings: Ratings, judge: str) -> OwnSpread | None:
    """How far a judge's repeats lie apart; None where it judged nothing twice."""
    repeats = ratings.by_judge[judge]
    twice = (~np.isnan(repeats)).sum(axis=0) >= 2
    if not twice.any():
        return None
    reach = np.nanmax(repeats[:, twice], axis=0) - np.nanmin(repeats[:, twice], axis=0)
    alpha = _alpha(ratings, repeats)
    return OwnSpread(alpha, int(twice.sum()), float((reach > 0).mean()), float(reach.mean()))


def _alpha(ratings: Ratings, raters: Floats) -> Agreement:
    if ratings.axis == REFUSAL:
        return nominal_alpha(raters, K, ratings.clusters)
    return interval_alpha(raters, LOWEST, HIGHEST, ratings.clusters)


def _ratings(axis: str, rows: Any, seed: int) -> Ratings:
    """rows: a frame of unit, group_id, judge_id, repeat, rating, of one axis."""
    units, place = np.unique(rows["unit"].to_numpy(dtype=np.str_), return_inverse=True)
    groups = np.empty(units.size, dtype=object)
    groups[place] = rows["group_id"].to_numpy()
    repeat = rows["repeat"].to_numpy(dtype=np.int64)
    rating = rows["rating"].to_numpy(dtype=np.float64)
    by_judge = {}
    for judge in rows.sort_values("position")["judge_id"].unique():
        mine = (rows["judge_id"] == judge).to_numpy()
        table = np.full((int(repeat[mine].max()) + 1, units.size), np.nan)
        table[repeat[mine], place[mine]] = rating[mine]
        by_judge[str(judge)] = table
    return Ratings(axis, Clusters.of([str(group) for group in groups], seed), by_judge)


_RATINGS = f"""
WITH items AS (  -- a prompt that stands in several sets counts once
  SELECT prompt_id, kind, reference_text_id, min(set_id || ' ' || group_id) AS group_id
  FROM study_set JOIN set_item USING (set_id) WHERE study_id = $study GROUP BY ALL
), given AS (SELECT DISTINCT prompt_id, text_id FROM {ANSWERS} WHERE text_id IS NOT NULL)
SELECT concat_ws(' ', j.prompt_id, j.kind, j.text_id, j.reference_text_id) AS unit, items.group_id, j.judge_id,
  mine.position, j.repeat, CASE s.axis WHEN 'compliance' THEN '{REFUSAL}' ELSE s.axis END AS axis,
  coalesce(s.value, {CODE}) AS rating
FROM study_judge mine JOIN judge USING (judge_id)
JOIN judgement j ON j.judge_id = mine.judge_id AND j.repeat < mine.repeats
JOIN items ON items.prompt_id = j.prompt_id AND items.kind = j.kind
  AND items.reference_text_id IS NOT DISTINCT FROM j.reference_text_id
SEMI JOIN given ON given.prompt_id = j.prompt_id AND given.text_id = j.text_id
JOIN score s USING (judgement_id)
WHERE mine.study_id = $study AND judge.kind <> 'classifier'
  AND s.axis IN ({", ".join(f"'{axis}'" for axis in (REFUSAL, "compliance", *VALUED))})
"""
