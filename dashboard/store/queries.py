"""What the pages ask of the store: plain SQL in, frozen records out. Every function takes an open connection."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from duckdb import DuckDBPyConnection

from dashboard.store.board import NOT_ANSWERED, VERDICTS, Board
from merge.points import MergePoint
from mergescope.ground.ids import decimal6


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One study of the store."""

    study_id: str
    name: str
    recipe: dict[str, Any]
    """The whole recipe as it was run."""


@dataclass(frozen=True, slots=True)
class JudgeRow:
    """One judge of a study."""

    judge_id: str
    name: str
    kind: str
    """llm or proxy."""
    trust: str
    """trusted, not trusted or not calibrated."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One checkpoint of a study."""

    checkpoint_id: str
    handle: str
    """Short name for addresses, unique in the study: `0.45`, `0.45@2` where mask seeds differ, `base`, `qwen3-8b`."""
    kind: str
    """merge, base, model-safe, model-useful, served or other."""
    label: str
    ratio: float | None
    """Weight of model-safe, 0-1; None for references."""
    mask_seed: int | None
    """None for references."""


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One metric of one checkpoint, as the evaluation computed it."""

    checkpoint_id: str
    metric: str
    value: float | None
    """None with a note where it does not exist."""
    low: float | None
    high: float | None
    n: int
    n_unscored: int
    worst: float | None
    """Value with every unscored answer at its worst."""
    best: float | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Grid:
    """The merge points of a study."""

    ratios: int
    mask_seeds: int
    by_mergekit: bool
    """Whether mergekit itself made some of the merges, one run per point."""


@dataclass(frozen=True, slots=True)
class Overview:
    """The counts of a study's header."""

    ratios: int
    mask_seeds: int
    by_mergekit: bool
    """As in `Grid`."""
    prompts: int
    answers: int
    """Answers of the study, failed ones included."""
    judged: int
    """Answers with a score from the first judge."""
    unscored: dict[str, int]
    """Answers without a score, by kind of error; `pending` where the judge has not seen them yet."""


@dataclass(frozen=True, slots=True)
class MergeSetting:
    """How a judged merge was made, and what its last bits depend on."""

    point: MergePoint
    threads: int
    """mergekit's --num-threads."""
    out_dtype: str
    """torch's name of the weights' dtype."""
    chat_template: str | None
    """Text that the config names; None where mergekit copies the base's."""
    mergekit: str
    """Version of mergekit."""


def studies(db: DuckDBPyConnection) -> list[StudyRow]:
    """All studies by name."""
    rows = db.execute("SELECT study_id, name, recipe FROM study ORDER BY name, study_id").fetchall()
    return [StudyRow(study_id, name, json.loads(recipe)) for study_id, name, recipe in rows]


def judges(db: DuckDBPyConnection, study_id: str) -> list[JudgeRow]:
    """A study's judges; the first one feeds the frontier. Classifiers have no estimates of their own: left out."""
    rows = db.execute(
        "SELECT judge_id, name, kind, trust FROM study_judge JOIN judge USING (judge_id) "
        "WHERE study_id = ? AND kind <> 'classifier' ORDER BY position",
        [study_id],
    ).fetchall()
    return [JudgeRow(*row) for row in rows]


def checkpoints(db: DuckDBPyConnection, study_id: str) -> list[Checkpoint]:
    """A study's checkpoints: merge points by mask seed and ratio, then the references."""
    rows = db.execute(
        "SELECT DISTINCT checkpoint_id, kind, label, ratio, mask_seed "
        "FROM study_checkpoint JOIN checkpoint USING (checkpoint_id) WHERE study_id = ? "
        "ORDER BY kind <> 'merge', mask_seed, ratio, kind, label, checkpoint_id",
        [study_id],
    ).fetchall()
    handles = _handles(rows)
    return [
        Checkpoint(row[0], handle, row[1], row[2], None if row[3] is None else float(row[3]), row[4])
        for row, handle in zip(rows, handles, strict=True)
    ]


def estimates(db: DuckDBPyConnection, study_id: str, judge_id: str, scope: str, split: str) -> list[EstimateRow]:
    """Every metric of every checkpoint on one scope and split."""
    rows = db.execute(
        "SELECT checkpoint_id, metric, value, low, high, n, n_unscored, worst, best, note FROM estimate "
        "WHERE study_id = ? AND judge_id = ? AND scope = ? AND split = ? ORDER BY metric, checkpoint_id",
        [study_id, judge_id, scope, split],
    ).fetchall()
    return [EstimateRow(*row) for row in rows]


def measured(db: DuckDBPyConnection, study_id: str, judge_id: str) -> frozenset[str]:
    """Names of the metrics that have a value on all prompts, at whatever checkpoint."""
    rows = db.execute(
        "SELECT DISTINCT metric FROM estimate WHERE study_id = ? AND judge_id = ? AND scope = 'all' AND split = 'all' "
        "AND value IS NOT NULL",
        [study_id, judge_id],
    ).fetchall()
    return frozenset(name for (name,) in rows)


def merge_setting(db: DuckDBPyConnection, checkpoint_id: str) -> MergeSetting:
    """The setting of one merge point."""
    columns = ", ".join(field.name for field in fields(MergePoint))
    query = f"SELECT {columns}, recipe FROM checkpoint WHERE checkpoint_id = ? AND kind = 'merge'"
    *values, text = _row(db, query, [checkpoint_id])
    recipe = json.loads(text)
    return MergeSetting(
        MergePoint(*map(_as_written, values)),
        threads=recipe["threads"],
        out_dtype=recipe["out_dtype"],
        chat_template=recipe["mergekit"].get("chat_template"),
        mergekit=recipe["versions"]["mergekit"],
    )


def grid(db: DuckDBPyConnection, study_id: str) -> Grid:
    """How many ratios and mask seeds a study has."""
    return Grid(
        *_row(
            db,
            "SELECT count(DISTINCT ratio), count(DISTINCT mask_seed), coalesce(bool_or(way = 'mergekit'), false) "
            "FROM study_checkpoint JOIN checkpoint "
            "USING (checkpoint_id) WHERE study_id = ? AND kind = 'merge'",
            [study_id],
        )
    )


def overview(board: Board, points: Grid) -> Overview:
    """The header's counts."""
    codes, errors = board.verdict[:, board.spoken], board.error[:, board.spoken]
    answers = int((codes != NOT_ANSWERED).sum())
    kinds = Counter(kind or "pending" for kind in errors[codes == VERDICTS.index("unscored")])
    unscored = dict(sorted(kinds.items(), key=lambda one: (-one[1], one[0])))
    prompts, judged = int(board.spoken.sum()), answers - sum(unscored.values())
    return Overview(points.ratios, points.mask_seeds, points.by_mergekit, prompts, answers, judged, unscored)


def _row(db: DuckDBPyConnection, sql: str, values: Sequence[object]) -> tuple[Any, ...]:
    row = db.execute(sql, list(values)).fetchone()
    if row is None:
        raise LookupError("an aggregate gave no row")
    return row


def _handles(rows: Sequence[tuple[Any, ...]]) -> list[str]:
    plain = [
        _decimal(ratio) if ratio is not None else label if kind in ("other", "served") else kind
        for _, kind, label, ratio, _ in rows
    ]
    seeded = [
        name if plain.count(name) == 1 else f"{name}@{row[4] if row[3] is not None else row[2]}"
        for name, row in zip(plain, rows, strict=True)
    ]
    return [
        name if seeded.count(name) == 1 else f"{name}@{row[0][-6:]}" for name, row in zip(seeded, rows, strict=True)
    ]


def _as_written(value: Any) -> Any:
    """A column of a merge point as the recipe had it: 0.500000 is 0.5."""
    if isinstance(value, list):
        return tuple(map(decimal6, value))
    return decimal6(value) if isinstance(value, Decimal) else value


def _decimal(ratio: Decimal) -> str:
    text = f"{ratio:f}".rstrip("0").rstrip(".") if "." in f"{ratio:f}" else f"{ratio:f}"
    return text or "0"
