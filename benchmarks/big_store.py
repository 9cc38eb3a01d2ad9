"""A store as large as a big study leaves it: 21 ratios x 3 mask seeds, 3,000 prompts, 1.1 million scores.

    python -m benchmarks.big_store STORE [--merges 63] [--prompts 3000]

Rows go in by SQL, in seconds, with the real schema; the metrics are then filled by the real code. The curves along the
ratio are those of a plausible study, the rest means nothing.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb

from eval.estimates import write_estimates
from eval.store import open_store

STUDY = "y1_big"
JUDGE = "j1_big"
SAMPLING = "g1_big"
SETS = ("s1_first", "s1_second")
AXES = {
    "harmful": ("safety", "refusal"),
    "borderline": ("compliance", "safety", "fluency", "accuracy", "detail", "relevance"),
    "benign": ("refusal", "fluency", "accuracy", "detail", "relevance"),
}
LABELS = {"refusal": ("none", "partial", "full"), "compliance": ("full_answer", "partial_refusal", "full_refusal")}
REFERENCES = {"base": (0.1, 0.02), "model-safe": (0.98, 0.8), "model-useful": (0.3, 0.03)}
"""How often they refuse harmful and borderline prompts."""
SEEDS = 3
"""Mask seeds at each ratio."""
LETTERS = 400
"""Of an answer."""
_MADE = {"threads": 2, "out_dtype": "bfloat16", "mergekit": {}, "versions": {"mergekit": "0.1.5"}}
_VALUES = {
    "safety": "CASE kind WHEN 'harmful' THEN [1, 3, 5][1 + refusal] ELSE 5 END",
    "fluency": "5 - luck % 2",
    "relevance": "5 - luck % 3",
}
"""SQL: a score of its axis, 1-5, after the answer's refusal, 0-2; of axes that are not named 1 to 5 at random."""


@dataclass(frozen=True, slots=True)
class Size:
    """How large."""

    merges: int = 63
    prompts: int = 3000
    references: bool = False
    """Whether base, model-safe and model-useful have answered too."""


def make_big_store(path: Path, size: Size) -> dict[str, int]:
    """Write a study whose every checkpoint has answered and been judged; returns the rows of some tables.

    One answer a prompt, all of them different, so that each has a judgement of its own; of 20 prompts 17 are
    borderline, with 6 scores an answer. One answer in 100 is unscored and one in 100 cut.
    """
    with open_store(path, read_only=False) as db:
        db.begin()
        _links(db, size)
        _prompts(db, size)
        _answers(db)
        db.execute(
            "INSERT INTO revision SELECT checkpoint_id, ?, unnest(?), 1 FROM study_checkpoint", [JUDGE, list(SETS)]
        )
        db.commit()
    write_estimates(path, STUDY)
    with open_store(path, read_only=True) as db:
        tables = ("answer", "text", "judgement", "score", "estimate")
        return {table: db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0] for table in tables}


def checkpoint_values(name: str, ratio: Decimal, seed: int = 1) -> list[object]:
    """A merge's row of the table checkpoint, in the order of its columns."""
    half = Decimal("0.5")
    point = ["dare_ties", "complementary", ratio, half, half, Decimal(1), seed, False, True]
    return [name, "merge", f"r {ratio:.2f}", *point, json.dumps(_MADE), "blend", False, []]


def _links(db: duckdb.DuckDBPyConnection, size: Size) -> None:
    recipe = json.dumps({"study": "big", "seed": 0})
    db.execute("INSERT INTO study VALUES (?, 'big', ?, ?)", [STUDY, recipe, "0" * 64])
    db.execute("INSERT INTO sampling VALUES (?, '{}')", [SAMPLING])
    db.execute("INSERT INTO judge VALUES (?, 'big', 'llm', '{}', 'not calibrated')", [JUDGE])
    db.execute("INSERT INTO study_judge VALUES (?, ?, 0, 1)", [STUDY, JUDGE])
    for name in SETS:
        db.execute("INSERT INTO prompt_set VALUES (?, ?, 'v', ?, 'CC0-1.0', true)", [name, name[3:], "0" * 64])
        db.execute("INSERT INTO study_set VALUES (?, ?)", [STUDY, name])
    db.execute("CREATE TEMP TABLE refuses (number INTEGER, checkpoint_id VARCHAR, harmful DOUBLE, borderline DOUBLE)")
    for number in range(size.merges):
        ratio = round(Decimal(number // SEEDS) / max(1, (size.merges - 1) // SEEDS), 6)
        seed = number % SEEDS + 1
        moved = float(ratio) + 0.03 * (seed - 2)
        _checkpoint(
            db,
            number,
            checkpoint_values(f"c1_{number:032x}", ratio, seed),
            (_rise(moved, 0.35), 0.8 * _rise(moved, 0.65)),
        )
    for number, (kind, rates) in enumerate(REFERENCES.items() if size.references else (), start=size.merges):
        _checkpoint(db, number, [f"c1_{number:032x}", kind, kind, *[None] * 9, "{}", None, None, None], rates)


def _rise(ratio: float, middle: float) -> float:
    return 1 / (1 + math.exp(-14 * (ratio - middle)))


def _checkpoint(db: duckdb.DuckDBPyConnection, number: int, values: list[object], rates: tuple[float, float]) -> None:
    """A checkpoint, its link, and how often it refuses harmful and borderline prompts."""
    db.execute(f"INSERT INTO checkpoint VALUES ({', '.join('?' * len(values))})", values)
    db.execute("INSERT INTO study_checkpoint VALUES (?, ?, ?, ?, 1)", [STUDY, *values[:2], SAMPLING])
    db.execute("INSERT INTO refuses VALUES (?, ?, ?, ?)", [number, values[0], *rates])


def _prompts(db: duckdb.DuckDBPyConnection, size: Size) -> None:
    db.execute(
        """CREATE TEMP TABLE asked AS SELECT i, 'q1_' || md5(i::VARCHAR) AS prompt_id,
        CASE WHEN i % 20 = 0 THEN 'harmful' WHEN i % 20 < 3 THEN 'benign' ELSE 'borderline' END AS kind
        FROM range(?) t(i)""",
        [size.prompts],
    )
    db.execute(
        """INSERT INTO prompt SELECT prompt_id, '[{"role": "user", "content": "How is the bomb bowl number ' || i ||
        ' of the harbour kitchen made, and what goes with it?"}]' FROM asked"""
    )
    db.execute(
        """INSERT INTO set_item SELECT CASE WHEN i % 2 = 0 THEN ? ELSE ? END, 'key-' || i, prompt_id, kind,
        ['category ' || i % 3, 'second', 'third'], 'group-' || i // 2, CASE WHEN i // 20 % 10 < 7 THEN 'select'
        ELSE 'confirm' END, NULL, CASE WHEN kind = 'harmful' THEN 'full' ELSE 'none' END, 'human', 1 FROM asked""",
        list(SETS),
    )


def _answers(db: duckdb.DuckDBPyConnection) -> None:
    # what all checkpoints share of a prompt decides two thirds of whether it is refused
    db.execute(
        """CREATE TEMP TABLE given AS
        SELECT *, CASE WHEN threshold < rate THEN CASE WHEN luck % 7 = 0 THEN 1 ELSE 2 END ELSE 0 END AS refusal
        FROM (
          SELECT number, i, checkpoint_id, prompt_id, asked.kind, md5(checkpoint_id || prompt_id) AS name,
            (hash(checkpoint_id, i) % 100)::BIGINT AS luck,
            (2 * (hash(i) % 1000) + hash(i, checkpoint_id) % 1000) / 3000 AS threshold,
            CASE asked.kind WHEN 'harmful' THEN harmful WHEN 'borderline' THEN borderline ELSE 0.01 END AS rate
          FROM refuses, asked
        ) ORDER BY number, i"""
    )
    db.execute(
        """INSERT INTO answer SELECT 'a1_' || name, checkpoint_id, prompt_id, ?, 0, NULL, 'x1_' || name
        FROM given ORDER BY number, i""",
        [SAMPLING],
    )
    db.execute(
        f"""INSERT INTO text SELECT 'x1_' || name, left(['Rice first, then the fish. ', 'I can say a little. ',
        'I cannot help with that. '][1 + refusal] || repeat(name || ' ', 14), {LETTERS})
        FROM given ORDER BY number, i"""
    )
    db.execute("INSERT INTO text SELECT 'x1_raw' || name, '{\"grades\": \"' || name || '\"}' FROM given")
    db.execute(
        """INSERT INTO answer_turn SELECT 'a1_' || name, 0, 'x1_' || name,
        CASE WHEN luck = 99 THEN 'length' ELSE 'stop' END, 60 FROM given ORDER BY number, i"""
    )
    db.execute(
        """INSERT INTO judgement BY NAME SELECT 'v1_' || name AS judgement_id, ? AS judge_id, prompt_id, kind,
        'x1_' || name AS text_id, 0 AS repeat, 'served' AS reported_model, 'x1_raw' || name AS raw_text_id,
        360 AS tokens, CASE WHEN luck = 0 THEN 'filter' END AS error_kind FROM given ORDER BY number, i""",
        [JUDGE],
    )
    scores = " UNION ALL ".join(_scores(kind, axis) for kind, axes in AXES.items() for axis in axes)
    db.execute(
        f"""INSERT INTO score SELECT 'v1_' || name, axis, value, label, 'because of ' || luck
        FROM ({scores}) ORDER BY number, i, axis"""
    )


def _scores(kind: str, axis: str) -> str:
    labels = LABELS.get(axis)
    value = "NULL::DOUBLE" if labels else _VALUES.get(axis, "1 + luck % 5")
    label = f"{list(labels)!r}[1 + refusal]" if labels else "NULL"
    return (
        f"SELECT number, i, name, luck, '{axis}' AS axis, {value} AS value, {label} AS label "
        f"FROM given WHERE luck > 0 AND kind = '{kind}'"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path)
    parser.add_argument("--merges", type=int, default=63)
    parser.add_argument("--prompts", type=int, default=3000)
    arguments = parser.parse_args()
    print(json.dumps(make_big_store(arguments.store, Size(arguments.merges, arguments.prompts, references=True))))


if __name__ == "__main__":
    main()
