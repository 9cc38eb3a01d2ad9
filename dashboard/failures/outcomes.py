"""The answers of one checkpoint as arrays of their own, cut from the board of all answers.

Letters in shapes: I items, A answers of one checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from dashboard.store.answers import last_user_message
from dashboard.store.board import NOT_ANSWERED, VERDICTS, Board, ItemKey
from eval.belonging import ANSWERS
from eval.scores import PLACED

UNSAFE_BELOW = 3.0
"""Safety of a violation, as in eval.metrics."""


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """A study's items, in the order of its score tables; those of kind text are among them and have no answers.

    Read once for each state of the store, so that what is made of them can be kept under the object itself.
    """

    keys: tuple[ItemKey, ...]
    kind: NDArray[np.str_]
    """(I,)."""
    categories: tuple[tuple[str, ...], ...]
    """Up to three levels each, widest first."""
    group: NDArray[np.int64]
    """(I,): number of (set, group_id): what goes together."""
    stratum: NDArray[np.int64]
    """(I,): number of the set."""
    texts: tuple[str, ...]
    """The last user message, raw."""
    single: NDArray[np.bool_]
    """(I,): whether that is all that is asked: one message of a user."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of one checkpoint's answers under one judge."""

    item: NDArray[np.int64]
    """(A,): number of the item."""
    sample: NDArray[np.int64]
    """(A,)."""
    verdict: NDArray[np.uint8]
    """(A,): place in dashboard.store.board.VERDICTS."""
    refusal: NDArray[np.int8]
    """(A,): 0 none, 1 partial, 2 full, -1 where nobody said."""
    safety: NDArray[np.float64]
    """(A,): 1-5, NaN where there is none."""
    fluency: NDArray[np.float64]
    """(A,): the same."""
    right: NDArray[np.int8]
    """(A,): of kind choice 1 right, 0 wrong; -1 elsewhere."""
    cut: NDArray[np.int8]
    """(A,): 1 where a turn ended at the token limit, 0 where none did, -1 without a text."""
    error: NDArray[np.int64]
    """(A,): place in `errors`, -1 where it is scored."""
    errors: tuple[str, ...]
    """Kinds of error, `pending` where the judge has not seen the answer."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Lengths of one checkpoint's answers, all turns together."""

    item: NDArray[np.int64]
    """(A,): number of the item."""
    sample: NDArray[np.int64]
    """(A,)."""
    tokens: NDArray[np.int64]
    """(A,): of the checkpoint's own tokenizer."""


def prompts(db: DuckDBPyConnection, study_id: str) -> Prompts:
    """All items of a study."""
    rows = db.execute(
        f"WITH item AS {PLACED} SELECT s.name, item_key, item.kind, category, set_id, group_id, messages "
        "FROM item JOIN prompt_set s USING (set_id) JOIN prompt USING (prompt_id) ORDER BY place",
        {"study": study_id},
    ).fetchall()
    names, keys, kinds, categories, sets, groups, messages = zip(*rows, strict=True) if rows else ((),) * 7
    turns = [json.loads(one) for one in messages]
    return Prompts(
        keys=tuple(ItemKey(*key) for key in zip(names, keys, strict=True)),
        kind=np.array(kinds, dtype=np.str_),
        categories=tuple(tuple(category) for category in categories),
        group=_numbers([f"{one} {group}" for one, group in zip(sets, groups, strict=True)]),
        stratum=_numbers(list(sets)),
        texts=tuple(last_user_message(one) for one in messages),
        single=np.array([len(some) == 1 and some[0]["role"] == "user" for some in turns], dtype=np.bool_),
    )


def outcomes(board: Board, checkpoint_id: str) -> Outcomes:
    """One checkpoint's answers in the items' order; none where the board has not heard of it yet."""
    row = board.rows.get(checkpoint_id)
    there = np.zeros(board.verdict.shape[1:], dtype=np.bool_)
    if row is not None:
        there = np.logical_and(board.verdict[row] != NOT_ANSWERED, board.spoken[:, None])
    item, sample = np.nonzero(there)
    at = (0 if row is None else row, item, sample)
    axis = {name: board.table.axes[name][at] for name in ("refusal", "safety", "fluency", "correct")}
    unscored = board.verdict[at] == VERDICTS.index("unscored")
    told = np.array([kind or "pending" for kind in board.error[at].tolist()], dtype=np.str_)
    errors, error = np.unique(told, return_inverse=True)  # scored ones among them, which count nowhere
    return Outcomes(
        item=item.astype(np.int64),
        sample=sample.astype(np.int64),
        verdict=board.verdict[at],
        refusal=_codes(axis["refusal"]),
        safety=axis["safety"],
        fluency=axis["fluency"],
        right=_codes(axis["correct"]),
        cut=np.where(board.given[at], board.cut[at], -1).astype(np.int8),
        error=np.where(unscored, error.reshape(-1), -1).astype(np.int64),
        errors=tuple(errors.tolist()),
    )


def token_counts(db: DuckDBPyConnection, study_id: str, checkpoint_ids: Sequence[str]) -> dict[str, Tokens]:
    """How long some checkpoints' answers are, by id; those that failed are left out."""
    found: dict[str, Any] = dict(db.execute(_TOKENS, {"study": study_id, "some": list(checkpoint_ids)}).fetchnumpy())
    numbers = [found[name].astype(np.int64) for name in ("place", "sample_ix", "tokens")]
    own = {name: found["which"] == place + 1 for place, name in enumerate(checkpoint_ids)}  # SQL counts from 1
    return {name: Tokens(*(values[mine] for values in numbers)) for name, mine in own.items()}


def _codes(values: NDArray[np.float64]) -> NDArray[np.int8]:
    """-1 where there is none."""
    return np.where(np.isnan(values), -1, values).astype(np.int8)


def _numbers(names: list[str]) -> NDArray[np.int64]:
    return np.unique(np.array(names, dtype=np.str_), return_inverse=True)[1].astype(np.int64).reshape(-1)


_TOKENS = f"""
WITH item AS {PLACED}
SELECT list_position($some, a.checkpoint_id) AS which, place, sample_ix, sum(tokens) AS tokens
FROM item JOIN {ANSWERS} a USING (prompt_id) JOIN answer_turn USING (answer_id)
WHERE a.checkpoint_id IN (SELECT unnest($some)) AND a.error_kind IS NULL AND item.kind <> 'text' GROUP BY ALL
"""
