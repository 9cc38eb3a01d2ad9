"""A share of a study's answers, the same in every query: what can be said of all from a few thousand of them."""

from __future__ import annotations

from duckdb import DuckDBPyConnection

from eval.belonging import ANSWERS

MOST = 3000
"""Answers that a page's query looks at, about: a query over all scores of a large study would hold the store."""
IN_SAMPLE = "hash(prompt_id, text_id, $seed) <= $most_hash"
"""SQL condition on answers; its parameters are those of `drawn`. Equal answers to one prompt are in or out together."""


def share_of(db: DuckDBPyConnection, study_id: str, most: int = MOST) -> float:
    """The share of a study's distinct answers that makes about `most` of them; 1 where it has no more."""
    distinct = f"SELECT approx_count_distinct(hash(prompt_id, text_id)) FROM {ANSWERS} WHERE text_id IS NOT NULL"
    row = db.execute(distinct, {"study": study_id}).fetchone()
    count = 0 if row is None else int(row[0])
    return min(1.0, most / count) if count else 1.0


def drawn(seed: int, share: float = 1.0) -> dict[str, int]:
    """Parameters of IN_SAMPLE: hashes spread evenly over 64 bits, and those up to a limit are in."""
    return {"seed": seed, "most_hash": min(2**64 - 1, int(share * 2**64))}
