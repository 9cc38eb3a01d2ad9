"""What each judge of a study says of the same answers: ratings for measures of agreement, straight from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from eval.agreement import Agreement, Clusters, interval_alpha, nominal_alpha, nominal_kappa, quadratic_kappa
from eval.belonging import ANSWERS
from eval.interchange.forms import HIGHEST, LOWEST, VALUED
from eval.labels import CLASSES, REFUSAL
from eval.scores import CODE
from eval.statistics import Floats
from eval.subsample import IN_SAMPLE, drawn

K = len(CLASSES)
RATED = (REFUSAL, *VALUED)
"""Axes on which judges are compared; compliance is refusal turned over."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Judgements of distinct answers, N of them; told apart as objects, so that what is read for them can be kept."""

    names: tuple[str, ...]
    """Ids of the judgements, rising; (N,)."""
    unit: NDArray[np.int64]
    """(N,): number of the judged answer, from 0."""
    judge: NDArray[np.str_]
    """(N,): ids of the judges."""
    repeat: NDArray[np.int64]
    """(N,)."""
    groups: tuple[str, ...]
    """Of each judged answer, what is resampled as one."""
    judges: tuple[str, ...]
    """Ids in the order of the study."""


def load_ratings(connection: duckdb.DuckDBPyConnection, study_id: str, seed: int) -> list[Ratings]:
    """The study's ratings by axis; axes that nobody scored are left out. seed: fixes the bootstrap draws."""
    judged = read_judged(connection, study_id)
    found = (read_ratings(connection, judged, axis, seed) for axis in sorted(RATED))
    return [ratings for ratings in found if ratings is not None]


def read_judged(connection: duckdb.DuckDBPyConnection, study_id: str, share: float = 1.0) -> Judged:
    """What was judged of a share of the study's distinct answers, picked by hash; 1: of all."""
    frame = connection.execute(_JUDGED, {"study": study_id, **drawn(0, share)}).df()
    units, first, place = np.unique(frame["unit"].to_numpy(dtype=np.str_), return_index=True, return_inverse=True)
    judges = frame.sort_values("position")["judge_id"].unique()
    return Judged(
        names=tuple(frame["judgement_id"]),
        unit=place.reshape(-1).astype(np.int64),
        judge=frame["judge_id"].to_numpy(dtype=np.str_),
        repeat=frame["repeat"].to_numpy(dtype=np.int64),
        groups=tuple(map(str, frame["group_id"].to_numpy()[first])) if units.size else (),
        judges=tuple(map(str, judges)),
    )


def read_ratings(connection: duckdb.DuckDBPyConnection, judged: Judged, axis: str, seed: int) -> Ratings | None:
    """The scores of those judgements on one axis; None where there is none. seed: fixes the bootstrap draws."""
    stored = [REFUSAL, "compliance"] if axis == REFUSAL else [axis]
    rows: Mapping[str, Any] = connection.execute(_SCORED, {"names": list(judged.names), "axes": stored}).fetchnumpy()
    if not len(rows["judgement_id"]):
        return None
    at = np.searchsorted(np.array(judged.names), rows["judgement_id"].astype(np.str_))
    rating = np.full(len(judged.names), np.nan)
    rating[at] = rows["rating"]
    return _ratings(axis, judged, rating, seed)


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


def _ratings(axis: str, judged: Judged, rating: Floats, seed: int) -> Ratings:
    """rating: (N,), NaN where a judgement has no score on the axis."""
    rated = ~np.isnan(rating)
    units, place = np.unique(judged.unit[rated], return_inverse=True)
    judge, repeat, value = judged.judge[rated], judged.repeat[rated], rating[rated]
    by_judge = {}
    for name in judged.judges:
        mine = judge == name
        if mine.any():
            table = np.full((int(repeat[mine].max()) + 1, units.size), np.nan)
            table[repeat[mine], place[mine]] = value[mine]
            by_judge[name] = table
    return Ratings(axis, Clusters.of([judged.groups[unit] for unit in units], seed), by_judge)


_JUDGED = f"""
WITH items AS (  -- a prompt that stands in several sets counts once
  SELECT prompt_id, kind, reference_text_id, min(set_id || ' ' || group_id) AS group_id
  FROM study_set JOIN set_item USING (set_id) WHERE study_id = $study GROUP BY ALL
), given AS (SELECT DISTINCT prompt_id, text_id FROM {ANSWERS} WHERE text_id IS NOT NULL AND {IN_SAMPLE})
SELECT concat_ws(' ', j.prompt_id, j.kind, j.text_id, j.reference_text_id) AS unit, items.group_id, j.judge_id,
  mine.position, j.repeat, j.judgement_id
FROM study_judge mine JOIN judge USING (judge_id)
JOIN (FROM judgement WHERE {IN_SAMPLE}) j ON j.judge_id = mine.judge_id AND j.repeat < mine.repeats
JOIN items ON items.prompt_id = j.prompt_id AND items.kind = j.kind
  AND items.reference_text_id IS NOT DISTINCT FROM j.reference_text_id
SEMI JOIN given ON given.prompt_id = j.prompt_id AND given.text_id = j.text_id
WHERE mine.study_id = $study AND judge.kind <> 'classifier' ORDER BY j.judgement_id
"""
_SCORED = f"""
SELECT judgement_id, coalesce(value, {CODE})::DOUBLE AS rating
FROM score WHERE judgement_id IN (SELECT unnest($names::VARCHAR[])) AND list_contains($axes::VARCHAR[], axis)
  AND coalesce(value, {CODE}) IS NOT NULL
"""
