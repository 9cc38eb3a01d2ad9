"""The points of a study that a rule recommends: those that meet it and cannot be told from the best one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from duckdb import DuckDBPyConnection

from eval.choosing import Standings
from eval.estimates import study_judges
from eval.recommended import Recommended, recommended
from eval.rule import Rule
from eval.scores import ScoreTable, load_scores
from eval.separation import Separation
from eval.store import open_store
from mergescope.ground.errors import MergescopeError
from mergescope.ground.ids import shortest
from mergescope.study import Study
from mergescope.sweep import study_id


@dataclass(frozen=True, slots=True)
class Point:
    """One merge point that was evaluated."""

    checkpoint_id: str
    label: str
    """Its ratio, with the mask seed where a study has several."""
    ratio: Decimal
    mask_seed: int


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What a rule makes of a study's points, by its first judge, on the select split."""

    points: tuple[Point, ...]
    """All evaluated merge points, by ratio."""
    references: dict[str, str]
    """Every other checkpoint's id, by label."""
    judge: str
    """The judge's name."""
    table: ScoreTable
    """Of all checkpoints, the select split alone: the confirm split is for what was chosen."""
    found: Recommended

    @property
    def standings(self) -> Standings:
        """All points under the rule."""
        return self.found.standings

    @property
    def separation(self) -> Separation | None:
        """Among the points that meet the rule; None where none does, or none has a value of the objective."""
        return self.found.separation

    @property
    def chosen(self) -> tuple[Point, ...]:
        """The recommended set."""
        names = self.separation.inseparable if self.separation else ()
        return tuple(point for point in self.points if point.checkpoint_id in names)


def recommend(study: Study, store: Path, rule: Rule) -> Recommendation:
    """The study's points under a rule; raises MergescopeError where the store holds no scores of its merges."""
    with open_store(store, read_only=True) as connection:
        points, references = _checkpoints(connection, study)
        judges = study_judges(connection, study_id(study))
        if not points or not judges:
            cure = "run `mergescope eval STUDY` first"
            raise MergescopeError("no judged merges of this study yet", where=store, cure=cure)
        table = load_scores(connection, study_id(study), judges[0])
        (judge,) = connection.execute("SELECT name FROM judge WHERE judge_id = ?", [judges[0]]).fetchall()[0]
    found = recommended(table, rule, [point.checkpoint_id for point in points], study.recipe.seed)
    return Recommendation(points, references, judge, table.where(~table.items.confirm), found)


def _checkpoints(connection: DuckDBPyConnection, study: Study) -> tuple[tuple[Point, ...], dict[str, str]]:
    rows = connection.execute(_CHECKPOINTS, [study_id(study)]).fetchall()
    merges = [row for row in rows if row[1] == "merge"]
    several = len({seed for *_, seed in merges}) > 1
    points = [
        Point(name, f"{label} seed {seed}" if several else label, shortest(ratio), seed)
        for name, _, label, ratio, seed in merges
    ]
    return tuple(points), {label: name for name, kind, label, _, _ in rows if kind != "merge"}


_CHECKPOINTS = """
SELECT DISTINCT checkpoint_id, kind, label, ratio, mask_seed
FROM study_checkpoint JOIN checkpoint USING (checkpoint_id) WHERE study_id = ?
ORDER BY ratio, mask_seed, label, checkpoint_id
"""
