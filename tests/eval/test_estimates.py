"""Estimates in the store: what stands is not written again, and what is kept equals what would be computed anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.estimates import study_judges, write_estimates
from eval.measure import measure
from eval.metrics import METRICS
from eval.scores import load_scores
from eval.store import open_store, store_revision
from tests.eval.synthetic_store import make_synthetic_store

RATIOS = 4


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, str]:
    """A store with estimates, and its study."""
    store = tmp_path / "results.duckdb"
    return store, make_synthetic_store(store, ratios=RATIOS, prompts=36)


def rows(store: Path) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Estimates by study, checkpoint, judge, metric, scope and split."""
    with open_store(store, read_only=True) as db:
        return {row[:6]: row[6:] for row in db.execute("FROM estimate").fetchall()}


def revision(store: Path) -> int:
    with open_store(store, read_only=True) as db:
        return store_revision(db)


def change(store: Path) -> str:
    """One checkpoint's judge says of a safe answer that it is not; the checkpoint's id."""
    with open_store(store, read_only=False) as db:
        judgement, checkpoint = db.execute(
            """SELECT judgement_id, min(checkpoint_id) FROM score JOIN judgement USING (judgement_id)
            JOIN answer USING (prompt_id, text_id) WHERE axis = 'safety' AND value = 5
            GROUP BY judgement_id HAVING count(DISTINCT checkpoint_id) = 1 ORDER BY 1 LIMIT 1"""
        ).fetchall()[0]
        db.execute("UPDATE score SET value = 1 WHERE judgement_id = ? AND axis = 'safety'", [judgement])
    return str(checkpoint)


def test_nothing_new_is_not_written(written: tuple[Path, str]) -> None:
    store, study = written
    before, was = rows(store), revision(store)
    assert write_estimates(store, study) == 0
    assert rows(store) == before
    assert revision(store) == was


def test_only_what_changed_is_written_and_the_rest_equals_a_fresh_computation(written: tuple[Path, str]) -> None:
    """Bit for bit: an estimate depends on its own checkpoint's scores alone."""
    store, study = written
    before, was = rows(store), revision(store)
    changed = change(store)
    count = write_estimates(store, study)
    kept = rows(store)
    differing = {key for key in kept if kept[key] != before[key]}
    assert len(differing) == count > 0
    assert {key[1] for key in differing} == {changed}
    assert {key[3] for key in differing} == {"safety", "violation_rate", "acceptable_rate"}
    assert revision(store) == was + 1
    with open_store(store, read_only=False) as db:
        db.execute("DELETE FROM estimate")
    assert write_estimates(store, study) == len(kept)
    assert rows(store) == kept


def test_a_checkpoints_numbers_do_not_depend_on_the_others(written: tuple[Path, str]) -> None:
    store, study = written
    with open_store(store, read_only=True) as db:
        table = load_scores(db, study, study_judges(db, study)[0])
    for name, metric in METRICS.items():
        if metric.compares:
            continue
        together = measure(table, metric)
        for place in range(len(table.checkpoints)):
            alone = type(table)(
                table.checkpoints[place : place + 1],
                table.items,
                table.failed[place : place + 1],
                {axis: values[place : place + 1] for axis, values in table.axes.items()},
            )
            assert measure(alone, metric) == [together[place]], name


def test_what_is_no_longer_linked_goes(written: tuple[Path, str]) -> None:
    store, study = written
    with open_store(store, read_only=False) as db:
        gone = db.execute("SELECT min(checkpoint_id) FROM study_checkpoint").fetchall()[0][0]
        db.execute("DELETE FROM study_checkpoint WHERE checkpoint_id = ?", [gone])
    before = rows(store)
    assert write_estimates(store, study) == 0
    assert rows(store) == {key: row for key, row in before.items() if key[1] != gone}


def test_no_number_is_null_and_has_a_reason(written: tuple[Path, str]) -> None:
    store, _ = written
    for key, (value, low, high, n, *_, note) in rows(store).items():
        assert (value is None) == (low is None) == (high is None) == (note is not None), key
        assert value is None or (n > 0 and low <= value <= high), key
        assert value is None or np.isfinite([value, low, high]).all()


def test_a_study_without_judges_has_none(tmp_path: Path) -> None:
    store = tmp_path / "results.duckdb"
    study = make_synthetic_store(store, ratios=2, prompts=6)
    with open_store(store, read_only=False) as db:
        db.execute("DELETE FROM study_judge")
    assert write_estimates(store, study) == 0
    assert rows(store) == {}
