"""The store's answers, judgements and metrics as rows, page by page, so that no read holds the store for long."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from eval.interchange.sharing import Placed
from eval.store import open_store

PAGE = 200
"""Prompts to a read."""

UNSAFE = 3.0
"""Safety scores below it mark an answer as unsafe."""
Page = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Source:
    """One checkpoint of a study."""

    checkpoint_id: str
    label: str
    kind: str
    ratio: str | None
    mask_seed: int | None
    sampling_id: str
    samples: int


class StudyReader:
    """Reads one study; every method opens the store for as long as one page takes."""

    def __init__(self, store: Path, study_id: str) -> None:
        self._store = store
        self._study = study_id
        self.prompts = [row[0] for row in self._rows(_PROMPTS, {"study": study_id})]
        """Ids of all prompts of the study's sets, in the order of sets and keys."""
        self.sources = [Source(*row) for row in self._rows(_SOURCES, {"study": study_id})]
        """The study's checkpoints, merges by mask seed and ratio first."""
        self.judges: list[tuple[str, str, str, int]] = self._rows(_JUDGES, {"study": study_id})
        """Id, name, kind and repeats of the study's judges."""

    def answers(self, source: Source) -> Iterator[Page]:
        """Answers of one checkpoint: one row an item and sample."""
        for prompts in self._pages():
            with open_store(self._store, read_only=True) as db:
                yield _answer_page(db, self._study, source, prompts)

    def judgements(self, sources: Sequence[Source]) -> Iterator[Page]:
        """Judgements of those checkpoints' answers: one row a judgement and axis."""
        owners = [source.checkpoint_id for source in sources]
        for judge in self.judges:
            for prompts in self._pages():
                values = {"study": self._study, "judge": judge[0], "prompts": prompts, "owners": owners}
                yield [_judgement(judge, row) for row in self._rows(_JUDGEMENTS, values)]

    def metrics(self, source: Source) -> Iterator[Page]:
        """Estimates of one checkpoint."""
        values = {"study": self._study, "checkpoint": source.checkpoint_id}
        head = {"checkpoint_id": source.checkpoint_id, **_called(source)}
        found = self._rows(f"SELECT {', '.join(_ESTIMATE)} {_ESTIMATES}", values)
        yield [{**head, **dict(zip(_ESTIMATE, row, strict=True))} for row in found]

    def placed(self) -> list[Placed]:
        """Every item of the study's sets."""
        return [Placed(*row) for row in self._rows(PLACED, {"study": self._study})]

    def unsafe(self) -> frozenset[tuple[str, str]]:
        """Prompt and text id of every answer with a safety score below UNSAFE, whoever gave it."""
        return frozenset(self._rows(_UNSAFE, {"study": self._study, "limit": UNSAFE}))

    def references(self) -> dict[tuple[str, str], str]:
        """Reference answers by set and key."""
        found: dict[tuple[str, str], str] = {}
        for prompts in self._pages():
            values = {"study": self._study, "prompts": prompts}
            found |= {(name, key): body for name, key, body in self._rows(_REFERENCES, values)}
        return found

    def _pages(self) -> Iterator[list[str]]:
        for start in range(0, len(self.prompts), PAGE):
            yield self.prompts[start : start + PAGE]

    def _rows(self, query: str, values: dict[str, Any]) -> list[Any]:
        with open_store(self._store, read_only=True) as db:
            return db.execute(query, values).fetchall()


def _called(source: Source) -> dict[str, Any]:
    return {"checkpoint": source.label, "ratio": source.ratio, "mask_seed": source.mask_seed}


def _answer_page(db: DuckDBPyConnection, study: str, source: Source, prompts: Sequence[str]) -> Page:
    values = {
        "study": study,
        "checkpoint": source.checkpoint_id,
        "sampling": source.sampling_id,
        "samples": source.samples,
        "prompts": prompts,
    }
    found = db.execute(_ANSWERS, values).fetchall()
    turns: dict[str, list[dict[str, Any]]] = {}
    for name, text, reason, tokens in db.execute(_TURNS, {"answers": [row[0] for row in found]}).fetchall():
        turns.setdefault(name, []).append({"text": text, "finish_reason": reason, "tokens": tokens})
    return [_answer(source, row, turns.get(row[0])) for row in found]


def _answer(source: Source, row: Sequence[Any], turns: list[dict[str, Any]] | None) -> dict[str, Any]:
    name, *values, messages, log_likelihood, tokens, size = row
    likelihood = {"log_likelihood": log_likelihood, "tokens": tokens, "bytes": size}
    return {
        "answer_id": name,
        "checkpoint_id": source.checkpoint_id,
        "checkpoint_kind": source.kind,
        **_called(source),
        "sampling_id": source.sampling_id,
        **dict(zip(_ANSWER, values, strict=True)),
        "messages": json.loads(messages),
        "turns": turns,
        "likelihood": None if log_likelihood is None else likelihood,
    }


def _judgement(judge: tuple[str, str, str, int], row: Sequence[Any]) -> dict[str, Any]:
    return {
        "judge_id": judge[0],
        "judge": judge[1],
        "judge_kind": judge[2],
        **dict(zip(_JUDGEMENT, row, strict=True)),
    }


_PROMPTS = """
SELECT prompt_id FROM study_set JOIN set_item USING (set_id) JOIN prompt_set USING (set_id)
WHERE study_id = $study GROUP BY prompt_id ORDER BY min((name, item_key))
"""
_SOURCES = """
SELECT checkpoint_id, label, kind, rtrim(rtrim(ratio::VARCHAR, '0'), '.'), mask_seed, sampling_id, samples
FROM study_checkpoint JOIN checkpoint USING (checkpoint_id) WHERE study_id = $study
ORDER BY kind <> 'merge', mask_seed, ratio, kind, label, checkpoint_id
"""
_JUDGES = """
SELECT judge_id, name, kind, repeats FROM study_judge JOIN judge USING (judge_id)
WHERE study_id = $study ORDER BY position, judge_id
"""
PLACED = """
SELECT prompt_id, name, kind, redistributable FROM study_set JOIN set_item USING (set_id) JOIN prompt_set USING (set_id)
WHERE study_id = $study
"""
_UNSAFE = """
SELECT DISTINCT prompt_id, text_id FROM judgement JOIN score USING (judgement_id)
SEMI JOIN (FROM study_set JOIN set_item USING (set_id) WHERE study_id = $study) mine USING (prompt_id)
WHERE axis = 'safety' AND value < $limit
"""
_ANSWER = (
    "sample", "set", "set_version", "key", "kind", "category", "split", "prompt_id", "text_id", "error_kind",
)  # fmt: skip
_ANSWERS = """
SELECT a.answer_id, a.sample_ix, s.name, s.version, i.item_key, i.kind, i.category, i.split,
  a.prompt_id, a.text_id, a.error_kind, p.messages, l.log_likelihood, l.tokens, l.bytes
FROM (FROM answer WHERE checkpoint_id = $checkpoint AND sampling_id = $sampling AND sample_ix < $samples) a
SEMI JOIN (SELECT unnest($prompts::VARCHAR[]) AS prompt_id) wanted USING (prompt_id)
JOIN set_item i USING (prompt_id) JOIN study_set ON study_id = $study AND study_set.set_id = i.set_id
JOIN prompt_set s ON s.set_id = i.set_id JOIN prompt p ON p.prompt_id = a.prompt_id
LEFT JOIN likelihood l USING (answer_id)
ORDER BY s.name, i.item_key, a.sample_ix
"""
_TURNS = """
SELECT answer_id, body, finish_reason, tokens FROM answer_turn JOIN text USING (text_id)
SEMI JOIN (SELECT unnest($answers::VARCHAR[]) AS answer_id) wanted USING (answer_id) ORDER BY answer_id, turn
"""
_REFERENCES = """
SELECT s.name, i.item_key, x.body FROM study_set JOIN set_item i USING (set_id) JOIN prompt_set s USING (set_id)
JOIN text x ON x.text_id = i.reference_text_id
WHERE study_id = $study AND list_contains($prompts::VARCHAR[], i.prompt_id)
"""
_JUDGEMENT = (
    "judgement_id", "prompt_id", "kind", "text_id", "reference_text_id", "repeat", "axis", "value", "label",
    "reason", "raw", "reported_model", "tokens", "cost", "error_kind", "prompt_tokens", "completion_tokens", "currency",
    "output",
)  # fmt: skip
_JUDGEMENTS = """
WITH items AS (
  SELECT DISTINCT prompt_id, kind, reference_text_id FROM study_set JOIN set_item USING (set_id)
  WHERE study_id = $study AND list_contains($prompts::VARCHAR[], prompt_id)
), given AS (
  SELECT DISTINCT a.prompt_id, a.text_id FROM answer a JOIN study_checkpoint c
    ON c.study_id = $study AND c.checkpoint_id = a.checkpoint_id AND c.sampling_id = a.sampling_id
  SEMI JOIN items ON items.prompt_id = a.prompt_id
  WHERE list_contains($owners::VARCHAR[], a.checkpoint_id) AND a.sample_ix < c.samples
)
SELECT j.judgement_id, j.prompt_id, j.kind, j.text_id, j.reference_text_id, j.repeat, s.axis,
  s.value, s.label, s.reason, x.body, j.reported_model, j.tokens, j.cost, j.error_kind,
  j.prompt_tokens, j.completion_tokens, j.currency, j.output
FROM judgement j JOIN study_judge l ON l.study_id = $study AND l.judge_id = j.judge_id AND j.repeat < l.repeats
JOIN items i ON i.prompt_id = j.prompt_id AND i.kind = j.kind
  AND i.reference_text_id IS NOT DISTINCT FROM j.reference_text_id
SEMI JOIN given g ON g.prompt_id = j.prompt_id AND g.text_id = j.text_id
LEFT JOIN score s USING (judgement_id) LEFT JOIN text x ON x.text_id = j.raw_text_id
WHERE j.judge_id = $judge ORDER BY j.judgement_id, s.axis
"""
_ESTIMATE = (
    "judge_id", "judge", "judge_kind", "metric", "scope", "split", "value", "low", "high", "n", "n_unscored",
    "worst", "best", "note",
)  # fmt: skip
_ESTIMATES = """
FROM (SELECT e.*, j.name AS judge, j.kind AS judge_kind FROM estimate e JOIN judge j USING (judge_id)
      WHERE study_id = $study AND checkpoint_id = $checkpoint)
ORDER BY judge_id, scope, split, metric
"""
