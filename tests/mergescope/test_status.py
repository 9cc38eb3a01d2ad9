"""`mergescope status` tells of made pairs before anything is trained or judged."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from mergescope.status import status
from mergescope.study import load_study
from tests.mergescope.recipes import own_models, written
from tests.trainer.pairs.made import make_set

AT = datetime(2031, 5, 1, tzinfo=UTC)


def pair_lines(recipe: Path) -> list[str]:
    return [line.strip() for line in status(load_study(recipe), recipe.parent / "none.duckdb") if "  pairs " in line]


def test_each_set_says_how_many_of_its_pairs_people_decided_about(tmp_path: Path) -> None:
    recipe = written(tmp_path, own_models())
    assert pair_lines(recipe) == []
    pairs = make_set(tmp_path / "tiny", 4)
    make_set(tmp_path / "tiny", 1, "borderline", kind="borderline")
    pairs.review("p1", "approve", "Aoi", AT)
    pairs.review("p2", "drop", "Aoi", AT)
    assert pair_lines(recipe) == [
        "pairs     borderline: 1 pending, 0 approved, 0 dropped",
        "pairs     harmful: 2 pending, 1 approved, 1 dropped",
    ]
