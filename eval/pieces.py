"""Scores of a study read in pieces, one for each checkpoint, so that no read holds the store for long.

`load_scores` asks everything in one query; here each table is read in short reads, ids as 64-bit hashes, and what
belongs together is found in numpy once the file is free again. Joined, the pieces equal `load_scores`; besides they
hold what pages say of single answers. That two of a million ids share a hash happens in one of thirty million stores.

Letters in shapes: I items, S answers to a prompt, N rows of a table, U distinct texts that were judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from duckdb import DuckDBPyConnection
from numpy.typing import NDArray

from eval.belonging import ANSWERS, JUDGEMENTS
from eval.judged_texts import SLOT, SLOTS, VALUE, JudgedTexts, found_in, judged_texts, or_none
from eval.scores import AXES, PLACED, Items, ScoreTable, checkpoint_ids, study_items

Open = Callable[[], AbstractContextManager[DuckDBPyConnection]]
"""Opens the store for one read."""
Mask = NDArray[np.bool_]
Columns = dict[str, NDArray[Any]]
"""Columns of a query's answer by name, each (N,); masked where they hold NULL."""

ROWS = 60_000
"""Answers that one read takes at most, unless one checkpoint alone has more."""
MANY = 0.25
"""Share of the checkpoints from which on all judgements are read, instead of looking for some."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a study asks whom: all that is small."""

    items: Items
    keys: tuple[tuple[str, str], ...]
    """Of each item the set's name and the item's key."""
    shared: tuple[str, ...]
    """Sets and judges, with their repeats: where these change, every piece does."""
    versions: Mapping[str, str]
    """By checkpoint id, in the order of `ScoreTable`: changes with each commit that touches its answers or their
    judgements by this judge, and with how the study asks it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One checkpoint's answers to a study's items and what one judge says of them; arrays are (I, S)."""

    answered: Mask
    """Whether the answer, or the failure to give one, is there."""
    given: Mask
    """Whether there is a text."""
    scored: Mask
    """Whether it has scores."""
    failed: Mask
    """As in `ScoreTable`."""
    cut: Mask
    """Whether one of its turns ended at the token limit."""
    error: NDArray[np.object_]
    """Kind of error; None where it is scored, or still to be judged."""
    axes: Mapping[str, NDArray[np.float64]]
    """As in `ScoreTable`."""


def read_outline(connection: DuckDBPyConnection, study_id: str, judge_id: str) -> Outline:
    """What the pieces of a study stand on, as the store says now."""
    items, keys = study_items(connection, study_id)
    values = {"study": study_id, "judge": judge_id}
    versions = dict(connection.execute(_VERSIONS, values).fetchall())
    return Outline(
        items=items,
        keys=keys,
        shared=tuple(row[0] for row in connection.execute(_SHARED, values).fetchall()),
        versions={name: versions[name] for name in checkpoint_ids(connection, study_id)},
    )


def read_pieces(
    open_store: Open, study_id: str, judge_id: str, outline: Outline, wanted: Sequence[str]
) -> dict[str, Piece]:
    """The pieces of some checkpoints, by id; `open_store` is called for each of several reads.

    What is committed between two reads may be seen by the later one alone. It changes the checkpoint's version, so the
    next outline tells.
    """
    if not wanted:
        return {}
    answers = [
        (some, _read(open_store, _ANSWERED, {"study": study_id, "some": some})) for some in _batches(outline, wanted)
    ]
    cut = np.unique(_read(open_store, _CUT, {})["answer"])
    everything = len(wanted) > MANY * len(outline.versions)
    texts = _texts(open_store, study_id, judge_id, None if everything else wanted)
    found: dict[str, Piece] = {}
    for some, rows in answers:
        given = _given(outline.items, rows, cut, texts)
        for row, name in enumerate(some):
            found[name] = _piece(outline.items, {column: one[rows["row"] == row] for column, one in given.items()})
    return found


def join_pieces(outline: Outline, pieces: Mapping[str, Piece]) -> ScoreTable:
    """The pieces of all checkpoints as one table."""
    own = [pieces[name] for name in outline.versions]
    failed = stacked(outline, [piece.failed for piece in own], False)
    axes = {axis: stacked(outline, [piece.axes[axis] for piece in own], np.nan) for axis in AXES}
    return ScoreTable(tuple(outline.versions), outline.items, failed, axes)


def stacked(outline: Outline, arrays: Sequence[NDArray[Any]], nothing: object) -> NDArray[Any]:
    """Arrays (I, S) of checkpoints that may differ in S as one (C, I, S), filled up with `nothing`."""
    samples = max((array.shape[1] for array in arrays), default=1)
    shape = (len(arrays), outline.items.kind.size, samples)
    whole = np.full(shape, nothing, dtype=arrays[0].dtype if arrays else np.float64)
    for row, array in enumerate(arrays):
        whole[row, :, : array.shape[1]] = array
    return whole


def _texts(open_store: Open, study_id: str, judge_id: str, some: Sequence[str] | None) -> JudgedTexts:
    """What the judge says of the answers of some checkpoints, or of all that it was ever shown."""
    values: dict[str, Any] = {"study": study_id, "judge": judge_id}
    if some is None:
        judgements = _read(open_store, _SHOWN, values)
        scores = [_read(open_store, _SCORED + which, {}) for which in _BY_SLOT]
    else:
        judgements = _read(open_store, f"{_SHOWN} AND {_OF_SOME}", values | {"some": list(some)})
        which = f"{_ANY_SLOT} AND judgement_id IN (SELECT judgement_id FROM judgement WHERE {_OF_SOME})"
        scores = [_read(open_store, _SCORED + which, {"some": list(some)})]
    together = {name: np.concatenate([one[name] for one in scores]) for name in ("judgement", "slot")}
    numbers = np.concatenate([np.ma.filled(one["value"], np.nan) for one in scores])
    return judged_texts(judgements, together | {"value": numbers})


def _given(items: Items, answers: Columns, cut: NDArray[np.uint64], texts: JudgedTexts) -> Columns:
    """Columns of answers (N,), by names of `Piece` and of axes, with their places.

    answers: rows of _ANSWERED. cut: hashes of answers, rising.
    """
    at, known = found_in(texts.shown, answers["shown"])
    error = or_none(answers["error"])
    broken = error.astype(bool)
    if not known.any():  # nothing is judged: there may be no text to look at
        texts, at = JudgedTexts.none(), np.zeros_like(at)
    place = answers["place"].astype(np.int64)
    scored = known & texts.scored[at]
    judged = known & ~broken
    error[judged] = texts.error[at[judged]]
    error[scored] = None
    axes = {axis: np.where(known, values[at], np.nan) for axis, values in texts.axes.items()}
    return axes | {
        "place": place,
        "sample_ix": answers["sample_ix"].astype(np.int64),
        "answered": np.ones_like(broken),
        "given": ~broken,
        "scored": scored,
        "failed": broken | np.where(known, texts.failed[at], items.kind[place] != "text"),
        "cut": found_in(cut, answers["answer"])[1],
        "error": error,
        "bits_per_byte": np.ma.filled(answers["bits_per_byte"], np.nan),
    }


def _piece(items: Items, given: Columns) -> Piece:
    """One checkpoint's columns of `_given`, each answer at its place."""
    place = given["place"], given["sample_ix"]
    shape = items.kind.size, int(place[1].max(initial=0)) + 1

    def placed(name: str, nothing: object) -> NDArray[Any]:
        whole = np.full(shape, nothing, dtype=given[name].dtype)
        whole[place] = given[name]
        return whole

    masks = {name: placed(name, False) for name in ("answered", "given", "scored", "failed", "cut")}
    return Piece(**masks, error=placed("error", None), axes={axis: placed(axis, np.nan) for axis in AXES})


def _batches(outline: Outline, wanted: Sequence[str]) -> Iterator[list[str]]:
    size = max(1, ROWS // max(1, outline.items.kind.size))
    for start in range(0, len(wanted), size):
        yield list(wanted[start : start + size])


def _read(open_store: Open, query: str, values: Mapping[str, Any]) -> Columns:
    with open_store() as connection:
        found: Any = connection.execute(query, dict(values)).fetchnumpy()
    return dict(found)


_SHARED = """
SELECT set_id FROM study_set WHERE study_id = $study
UNION ALL SELECT judge_id || ' ' || repeats FROM study_judge JOIN judge USING (judge_id)
WHERE study_id = $study AND (judge_id = $judge OR setting->>'$.kind' = 'exact') ORDER BY 1
"""
_VERSIONS = """
WITH touched AS (
  SELECT checkpoint_id, sum(counter) AS counter FROM revision
  WHERE checkpoint_id <> '' AND (judge_id IN ('', $judge)
      OR judge_id IN (SELECT judge_id FROM judge WHERE setting->>'$.kind' = 'exact'))
    AND (set_id = '' OR set_id IN (SELECT set_id FROM study_set WHERE study_id = $study))
  GROUP BY checkpoint_id
)
SELECT checkpoint_id, string_agg(sampling_id || '*' || samples, ' ' ORDER BY role)
  || ' ' || coalesce(any_value(counter), 0)
FROM study_checkpoint LEFT JOIN touched USING (checkpoint_id) WHERE study_id = $study GROUP BY checkpoint_id
"""
_ANSWERED = f"""
WITH item AS {PLACED}, named AS (SELECT unnest($some) AS checkpoint_id, unnest(range(len($some))) AS row)
SELECT named.row, i.place, a.sample_ix, hash(i.prompt_id, i.kind, a.text_id, i.reference_text_id) AS shown,
  hash(a.answer_id) AS answer, a.error_kind AS error, -l.log_likelihood / (ln(2) * l.bytes) AS bits_per_byte
FROM item i JOIN {ANSWERS} a USING (prompt_id) JOIN named USING (checkpoint_id)
LEFT JOIN likelihood l ON i.kind = 'text' AND l.answer_id = a.answer_id
"""
_CUT = "SELECT hash(answer_id) AS answer FROM answer_turn WHERE finish_reason = 'length'"
_SHOWN = f"""
SELECT hash(judgement_id) AS judgement, hash(prompt_id, kind, text_id, reference_text_id) AS shown, error_kind AS error
FROM {JUDGEMENTS} WHERE kind <> 'pairwise'
"""
_OF_SOME = "text_id IN (SELECT text_id FROM answer WHERE checkpoint_id IN (SELECT unnest($some)))"
_SCORED = f"SELECT hash(judgement_id) AS judgement, {SLOT} AS slot, {VALUE} AS value FROM score WHERE "
_ANY_SLOT = f"{SLOT} IS NOT NULL"
_BY_SLOT = tuple(f"axis IN ({', '.join(map(repr, names))})" for names in SLOTS.values())
"""Conditions that part the scores, so that each read takes but some of them."""
