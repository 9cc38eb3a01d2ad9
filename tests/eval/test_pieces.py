"""Scores read piece by piece equal those of one query, and a change at one checkpoint changes one piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from duckdb import DuckDBPyConnection

from eval import pieces
from eval.pieces import Outline, join_pieces, read_outline, read_pieces
from eval.rows import AnswerRow, JudgementRow, ScoreRow, TextRow
from eval.scores import AXES, Items, ScoreTable, load_scores
from eval.store import open_store
from eval.writer import write_rows
from tests.eval.guard_rows import SECOND, add_guard
from tests.eval.synthetic_store import make_synthetic_store


class Opened:
    """Opens one store for reading, and counts how often."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times = 0

    @contextmanager
    def __call__(self) -> Iterator[DuckDBPyConnection]:
        self.times += 1
        with open_store(self.path, read_only=True) as db:
            yield db


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A study with choices, texts and jailbreaks, three samples and judges who disagree with themselves."""
    path = tmp_path / "results.duckdb"
    study = make_synthetic_store(path, ratios=3, prompts=24, estimates=False)
    add_guard(path, study)
    with open_store(path, read_only=False) as db:
        db.execute("UPDATE study_judge SET repeats = 3")
        for repeat in (1, 2):
            db.execute(
                "INSERT INTO judgement BY NAME SELECT * REPLACE (judgement_id || '_' || ? AS judgement_id, "
                "? AS repeat, CASE WHEN hash(judgement_id, ?) % 9 = 0 THEN 'timeout' END AS error_kind) FROM judgement "
                "WHERE repeat = 0 AND kind <> 'choice' AND hash(judgement_id, ?) % 4 > 0",
                [repeat, repeat, repeat, repeat],
            )
            db.execute(
                "INSERT INTO score SELECT j.judgement_id, axis, "
                "CASE WHEN value IS NOT NULL THEN 1 + hash(s.judgement_id, axis, ?) % 5 END, "
                "CASE label WHEN 'none' THEN 'partial' WHEN 'partial' THEN 'full' ELSE label END, NULL "
                "FROM judgement j JOIN score s ON j.judgement_id = s.judgement_id || '_' || ? "
                "WHERE j.error_kind IS NULL",
                [repeat, repeat],
            )
        db.execute("UPDATE study_checkpoint SET samples = 2 WHERE role = 'merge'")
        db.execute(
            "INSERT INTO answer BY NAME SELECT * REPLACE (answer_id || '_1' AS answer_id, 1 AS sample_ix) FROM answer "
            "WHERE hash(answer_id) % 3 > 0"
        )
    return path


def judged(store: Path) -> list[tuple[str, str]]:
    with open_store(store, read_only=True) as db:
        return db.execute("SELECT study_id, judge_id FROM study_judge").fetchall()


def outline_of(store: Path, study: str, judge: str) -> Outline:
    with open_store(store, read_only=True) as db:
        return read_outline(db, study, judge)


def equal(one: ScoreTable, other: ScoreTable) -> None:
    assert one.checkpoints == other.checkpoints
    for field in fields(Items):
        np.testing.assert_array_equal(getattr(one.items, field.name), getattr(other.items, field.name))
    np.testing.assert_array_equal(one.failed, other.failed)
    for axis in AXES:
        np.testing.assert_array_equal(one.axes[axis], other.axes[axis], err_msg=axis)


@pytest.mark.parametrize("rows", [1, 60_000])
def test_joined_pieces_are_the_scores_of_one_query(store: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(pieces, "ROWS", rows)
    for study, judge in judged(store):
        outline = outline_of(store, study, judge)
        found = join_pieces(outline, read_pieces(Opened(store), study, judge, outline, list(outline.versions)))
        with open_store(store, read_only=True) as db:
            wanted = load_scores(db, study, judge)
        assert wanted.failed.shape[2] == 2
        equal(found, wanted)


@pytest.mark.deep
def test_a_piece_is_the_same_read_alone(store: Path) -> None:
    for study, judge in judged(store):
        outline = outline_of(store, study, judge)
        together = read_pieces(Opened(store), study, judge, outline, list(outline.versions))
        opened = Opened(store)
        for name in outline.versions:
            alone = read_pieces(opened, study, judge, outline, [name])[name]
            for field in ("answered", "given", "scored", "failed", "cut", "error"):
                np.testing.assert_array_equal(getattr(alone, field), getattr(together[name], field), err_msg=field)
            for axis in AXES:
                np.testing.assert_array_equal(alone.axes[axis], together[name].axes[axis])
        assert opened.times == 4 * len(outline.versions)  # answers, cut turns, judgements, scores


def test_nothing_is_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "results.duckdb"
    study = make_synthetic_store(path, ratios=2, prompts=6, estimates=False)
    with open_store(path, read_only=False) as db:
        for table in ("answer", "judgement", "score"):
            db.execute(f"DELETE FROM {table}")
    [(_, judge)] = judged(path)
    outline = outline_of(path, study, judge)
    found = join_pieces(outline, read_pieces(Opened(path), study, judge, outline, list(outline.versions)))
    with open_store(path, read_only=True) as db:
        equal(found, load_scores(db, study, judge))


def test_a_commit_changes_the_versions_of_those_it_touches(store: Path) -> None:
    """A judgement touches every checkpoint that gave the text, not only the one it was asked for."""
    [(study, judge)] = [(study, judge) for study, judge in judged(store) if judge == SECOND]
    before = outline_of(store, study, judge)
    first, second, *others = before.versions
    with open_store(store, read_only=False) as db:
        [(prompt, sampling)] = db.execute("SELECT prompt_id, sampling_id FROM answer LIMIT 1").fetchall()
        rows = [AnswerRow(f"a1_{one}", one, prompt, sampling, 7, None, "t1_shared") for one in (first, second)]
        write_rows(db, [TextRow("t1_shared", "shared"), rows[0]])
    after_first = outline_of(store, study, judge)
    with open_store(store, read_only=False) as db:
        write_rows(db, [rows[1]])
    after_second = outline_of(store, study, judge)
    with open_store(store, read_only=False) as db:
        verdict = JudgementRow("v1_shared", judge, prompt, "harmful", "t1_shared", None, 0)
        write_rows(db, [verdict, ScoreRow("v1_shared", "safety", 5.0, None, None)])
    last = outline_of(store, study, judge)
    assert changed(before, after_first) == {first}
    assert changed(after_first, after_second) == {second}
    assert changed(after_second, last) == {first, second}
    assert not changed(before, last) & set(others)


def changed(before: Outline, after: Outline) -> set[str]:
    return {name for name, version in after.versions.items() if before.versions[name] != version}
