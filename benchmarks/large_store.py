"""A store as large as a big study leaves it, made by SQL in seconds: 63 merges, 3,000 prompts, 189,000 answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from eval.metrics import METRICS
from eval.store import open_store

STUDY = "y1_large"
JUDGE = "j1_large"
SAMPLING = "g1_large"
SETS = ("s1_first", "s1_second")
AXES = {
    "harmful": ("safety", "refusal"),
    "borderline": ("compliance", "safety", "fluency", "accuracy", "detail", "relevance"),
    "benign": ("refusal", "fluency", "accuracy", "detail", "relevance"),
}
LABELS = {"refusal": ("none", "partial", "full"), "compliance": ("full_answer", "partial_refusal", "full_refusal")}


@dataclass(frozen=True, slots=True)
class Size:
    """How large."""

    merges: int = 63
    prompts: int = 3000


def make_large_store(path: Path, size: Size) -> dict[str, int]:
    """Write a study whose every checkpoint has answered and been judged; returns the rows of some tables.

    One answer a prompt, all of them different, so that each has a judgement of its own; of 20 prompts 17 are
    borderline, with 6 scores an answer. Nothing of it means anything.
    """
    with open_store(path, read_only=False) as db:
        db.begin()
        _links(db, size)
        _prompts(db, size)
        _answers(db)
        _estimates(db)
        db.execute("INSERT INTO revision VALUES ('', '', '', 1)")
        db.commit()
        tables = ("answer", "text", "judgement", "score", "estimate")
        return {table: db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables}


def checkpoint_values(name: str, ratio: Decimal) -> list[object]:
    """A merge's row of the table checkpoint, in the order of its columns."""
    half = Decimal("0.5")
    point = ["dare_ties", "complementary", ratio, half, half, Decimal(1), 1, False, True]
    return [name, "merge", f"r {ratio}", *point, "{}", "blend", False, []]


def _links(db: duckdb.DuckDBPyConnection, size: Size) -> None:
    recipe = json.dumps({"study": "large", "seed": 0})
    db.execute("INSERT INTO study VALUES (?, 'large', ?, ?)", [STUDY, recipe, "0" * 64])
    db.execute("INSERT INTO sampling VALUES (?, '{}')", [SAMPLING])
    db.execute("INSERT INTO judge VALUES (?, 'large', 'llm', '{}', 'not calibrated')", [JUDGE])
    db.execute("INSERT INTO study_judge VALUES (?, ?, 0, 1)", [STUDY, JUDGE])
    for name in SETS:
        db.execute("INSERT INTO prompt_set VALUES (?, ?, 'v', ?, 'CC0-1.0', true)", [name, name[3:], "0" * 64])
        db.execute("INSERT INTO study_set VALUES (?, ?)", [STUDY, name])
    for number in range(size.merges):
        name, ratio = f"c1_{number:032x}", round(Decimal(number) / size.merges, 6)
        values = checkpoint_values(name, ratio)
        db.execute(f"INSERT INTO checkpoint VALUES ({', '.join('?' * len(values))})", values)
        db.execute("INSERT INTO study_checkpoint VALUES (?, ?, 'merge', ?, 1)", [STUDY, name, SAMPLING])


def _prompts(db: duckdb.DuckDBPyConnection, size: Size) -> None:
    db.execute(
        """CREATE TEMP TABLE asked AS SELECT i, 'q1_' || md5(i::VARCHAR) AS prompt_id,
        CASE WHEN i % 20 = 0 THEN 'harmful' WHEN i % 20 < 3 THEN 'benign' ELSE 'borderline' END AS kind
        FROM range(?) t(i)""",
        [size.prompts],
    )
    db.execute(
        """INSERT INTO prompt SELECT prompt_id, '[{"role": "user", "content": "prompt ' || i || '"}]' FROM asked"""
    )
    db.execute(
        """INSERT INTO set_item SELECT CASE WHEN i % 2 = 0 THEN ? ELSE ? END, 'key-' || i, prompt_id, kind,
        ['category ' || i % 3, 'second', 'third'], 'group-' || i // 2, CASE WHEN i % 10 < 7 THEN 'select'
        ELSE 'confirm' END, NULL, CASE WHEN kind = 'harmful' THEN 'full' ELSE 'none' END, 'human', 1 FROM asked""",
        list(SETS),
    )


def _answers(db: duckdb.DuckDBPyConnection) -> None:
    db.execute(
        """CREATE TEMP TABLE given AS SELECT checkpoint_id, prompt_id, asked.kind,
        md5(checkpoint_id || prompt_id) AS name, (hash(checkpoint_id, i) % 100)::BIGINT AS luck
        FROM checkpoint, asked"""
    )
    db.execute(
        """INSERT INTO answer SELECT 'a1_' || name, checkpoint_id, prompt_id, ?, 0, NULL, 'x1_' || name
        FROM given""",
        [SAMPLING],
    )
    db.execute("INSERT INTO text SELECT 'x1_' || name, repeat(name || ' ', 8) FROM given")
    db.execute("INSERT INTO answer_turn SELECT 'a1_' || name, 0, 'x1_' || name, 'stop', 60 FROM given")
    db.execute(
        """INSERT INTO judgement BY NAME SELECT 'v1_' || name AS judgement_id, ? AS judge_id, prompt_id, kind,
        'x1_' || name AS text_id, 0 AS repeat, 'served' AS reported_model, 360 AS tokens,
        CASE WHEN luck = 0 THEN 'filter' END AS error_kind FROM given""",
        [JUDGE],
    )
    for kind, axes in AXES.items():
        for axis in axes:
            labels = LABELS.get(axis)
            value = "NULL" if labels else "1 + luck % 5"
            label = f"{list(labels)!r}[1 + luck % 3]" if labels else "NULL"
            db.execute(
                f"""INSERT INTO score SELECT 'v1_' || name, '{axis}', {value}, {label}, 'because of ' || luck
                FROM given WHERE luck > 0 AND kind = '{kind}'"""
            )


def _estimates(db: duckdb.DuckDBPyConnection) -> None:
    scopes = ["all", *(f"set:{name[3:]}" for name in SETS), *(f"category:category {n}" for n in range(3))]
    db.execute(
        """INSERT INTO estimate SELECT ?, checkpoint_id, ?, metric, scope, split, 0.5, 0.4, 0.6, 3000, 0, 0.5, 0.5, NULL
        FROM checkpoint, (SELECT unnest(?) AS metric), (SELECT unnest(?) AS scope),
        (SELECT unnest(['all', 'select', 'confirm']) AS split)""",
        [STUDY, JUDGE, list(METRICS), scopes],
    )
