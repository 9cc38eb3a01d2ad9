"""The pages' own SQL against the metrics that the evaluation computed from the same rows."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from dashboard.store import answers, evidence, queries
from dashboard.store.board import Board
from dashboard.store.queries import Checkpoint, EstimateRow
from eval.store import open_store
from merge.points import MergePoint
from tests.dashboard.conftest import board_of


@pytest.fixture(scope="module")
def study(store: Path) -> queries.StudyRow:
    with open_store(store, read_only=True) as db:
        return queries.studies(db)[0]


@pytest.fixture(scope="module")
def judge(store: Path, study: queries.StudyRow) -> str:
    with open_store(store, read_only=True) as db:
        return queries.judges(db, study.study_id)[0].judge_id


@pytest.fixture(scope="module")
def checkpoints(store: Path, study: queries.StudyRow) -> list[Checkpoint]:
    with open_store(store, read_only=True) as db:
        return queries.checkpoints(db, study.study_id)


@pytest.fixture(scope="module")
def board(store: Path, study: queries.StudyRow, judge: str) -> Board:
    return board_of(store, study.study_id, judge)


@pytest.fixture(scope="module")
def estimates(store: Path, study: queries.StudyRow, judge: str) -> dict[tuple[str, str], EstimateRow]:
    with open_store(store, read_only=True) as db:
        rows = queries.estimates(db, study.study_id, judge, "all", "all")
    return {(row.checkpoint_id, row.metric): row for row in rows}


def test_checkpoints_have_short_handles(checkpoints: list[Checkpoint]) -> None:
    assert [c.handle for c in checkpoints] == ["0", "0.25", "0.5", "0.75", "1", "base", "model-safe", "model-useful"]


def test_handles_tell_mask_seeds_apart(store: Path, tmp_path: Path, study: queries.StudyRow) -> None:
    path = tmp_path / "seeds.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE checkpoint SET mask_seed = 2, ratio = 0.5 WHERE ratio = 1")
        handles = [c.handle for c in queries.checkpoints(db, study.study_id)]
    assert handles[:5] == ["0", "0.25", "0.5@1", "0.75", "0.5@2"]


def test_every_answer_is_counted_once(
    store: Path, study: queries.StudyRow, board: Board, checkpoints: list[Checkpoint]
) -> None:
    with open_store(store, read_only=True) as db:
        overview = queries.overview(board, queries.grid(db, study.study_id))
    rows = answers.verdicts(board, [c.checkpoint_id for c in checkpoints])
    unscored = [row for row in rows if row.verdict == "unscored"]
    assert overview.answers == len(rows) == 36 * 8
    assert overview.judged == len(rows) - len(unscored)
    assert sum(overview.unscored.values()) == len(unscored) > 0
    assert all(row.error_kind for row in unscored)
    assert overview.unscored == Counter(row.error_kind for row in unscored)


def test_an_answer_brings_its_scores_and_reasons(
    store: Path, study: queries.StudyRow, judge: str, board: Board, checkpoints: list[Checkpoint]
) -> None:
    first = checkpoints[0].checkpoint_id
    with open_store(store, read_only=True) as db:
        item = next(item for item in answers.items(db, study.study_id) if item.kind == "benign")
        found = answers.said(db, study.study_id, judge, item.key, [checkpoints[0].checkpoint_id])
        [(text,)] = db.execute("SELECT body FROM text WHERE text_id = ?", [found[first].text_id]).fetchall()
    along = answers.along(board, item.key)
    scores = answers.scores(board, item.key)
    assert set(scores[first]) == {"fluency", "accuracy", "detail", "relevance"}
    [quality] = [row.quality for row in along if row.checkpoint_id == first]
    assert quality == pytest.approx(sum(scores[first].values()) / 4)
    assert (list(found), found[first].text, found[first].prompt_id) == ([first], text, item.prompt_id)
    assert set(found[first].reasons.values()) == {"invented"}
    assert {row.checkpoint_id for row in along} == {c.checkpoint_id for c in checkpoints}


def test_a_merge_setting_is_the_point_itself(store: Path, checkpoints: list[Checkpoint]) -> None:
    with open_store(store, read_only=True) as db:
        setting = queries.merge_setting(db, checkpoints[1].checkpoint_id)
    assert isinstance(setting.point, MergePoint)
    assert str(setting.point.ratio) == "0.25"
    assert (setting.threads, setting.out_dtype) == (2, "bfloat16")


def test_a_setting_of_mergekits_own_merge_is_whole(
    store: Path, tmp_path: Path, study: queries.StudyRow, checkpoints: list[Checkpoint]
) -> None:
    path = tmp_path / "own.duckdb"
    path.write_bytes(store.read_bytes())
    with open_store(path, read_only=False) as db:
        assert not queries.grid(db, study.study_id).by_mergekit
        db.execute(
            "UPDATE checkpoint SET method = 'ties', way = 'mergekit', int8_mask = true, gradient = [0.25, 1], "
            "normalize = true, rescale = false WHERE checkpoint_id = ?",
            [checkpoints[1].checkpoint_id],
        )
        assert queries.grid(db, study.study_id).by_mergekit
        point = queries.merge_setting(db, checkpoints[1].checkpoint_id).point
    half, gradient = Decimal("0.5"), (Decimal("0.25"), Decimal(1))
    wanted = MergePoint(
        "ties", "complementary", Decimal("0.25"), half, half, Decimal(1), 1, True, False, True, gradient
    )
    assert point == wanted
    assert list(map(str, point.gradient)) == ["0.25", "1"]


def test_differences_are_those_of_the_values(
    board: Board,
    checkpoints: list[Checkpoint],
    estimates: dict[tuple[str, str], EstimateRow],
) -> None:
    a, b = checkpoints[3].checkpoint_id, checkpoints[7].checkpoint_id
    gap = evidence.differences(board, (a, b), ["over_refusal_rate"])["over_refusal_rate"]
    values = [estimates[one, "over_refusal_rate"].value for one in (a, b)]
    assert None not in values
    assert gap.value == pytest.approx(values[0] - values[1], abs=0.1)  # type: ignore[operator]  # pairs with both scores
    assert gap.low is not None
    assert gap.high is not None
    assert gap.low <= gap.value <= gap.high  # type: ignore[operator]
