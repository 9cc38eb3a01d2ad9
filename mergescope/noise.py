"""Where the noise of a rule's objective comes from at a study's shortlisted ratios, in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.config import OpenAIJudge
from eval.crossed import load_crossed, variance_parts
from eval.estimates import study_judges
from eval.metrics import METRICS
from eval.store import open_store
from eval.variance import LEAST_SEEDS, Parts
from mergescope.recommending import Point, Recommendation
from mergescope.study import Study
from mergescope.sweep import study_id


def noise_lines(study: Study, store: Path, found: Recommendation) -> Iterator[str]:
    """The variance of one answer's score, part by part, for each shortlisted ratio; nothing without a shortlist.

    On the select split, by the study's first judge. Too few mask seeds are said to be too few.
    """
    section = study.recipe.eval
    if section.shortlist is None:
        return
    metric = METRICS[found.standings.rule.objective]
    yield ""
    if not metric.parts:
        yield f"{metric.name} is no mean of scores, so its noise is not split"
        return
    yield f"where the noise of one answer's {metric.name} comes from (variances), by {found.judge}"
    points = {ratio: [p for p in found.points if p.ratio == ratio] for ratio in sorted(section.shortlist.points)}
    names = [point.checkpoint_id for some in points.values() for point in some if len(some) >= LEAST_SEEDS]
    first, repeats = section.judges[0], 1
    if isinstance(first, OpenAIJudge):
        repeats = max(first.repeats, section.shortlist.judge_repeats)
    with open_store(store, read_only=True) as connection:
        judge = study_judges(connection, study_id(study))[0]
        tables = load_crossed(connection, study_id(study), judge, names, repeats) if names else []
    for ratio, some in points.items():
        if len(some) < LEAST_SEEDS:
            yield f"  r {ratio}: not estimated: {_seeds(some)}, at least {LEAST_SEEDS} needed"
            continue
        own = [table.of([point.checkpoint_id for point in some]) for table in tables]
        for kind, parts in variance_parts(own, metric).items():
            yield f"  r {ratio}, {kind} prompts, {_seeds(some)}: {_told(parts)}"


def _seeds(points: list[Point]) -> str:
    return f"{len(points)} mask seed{'s' * (len(points) != 1)}"


def _told(parts: Parts) -> str:
    values = {
        "mask": parts.mask,
        "prompt": parts.prompt,
        "mask x prompt": parts.mask_by_prompt,
        "sample": parts.sample,
        "judge": parts.judge,
    }
    return ", ".join(f"{name} {'not estimated' if value is None else f'{value:.3g}'}" for name, value in values.items())
