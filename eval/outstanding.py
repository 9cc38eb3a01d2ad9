"""What is left to ask of a study's judges and served models, as far as its store tells: counted before any call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from eval import judge
from eval.config import OpenAIJudge
from eval.engine import PASSING, PASSING_SERVED
from eval.identity import judge_id
from eval.prompts import Item

SEEN = 200
"""Judgements that tell how long a judge's questions and verdicts are."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A checkpoint in the store, and how a study asks it."""

    checkpoint_id: str
    sampling_id: str
    samples: int
    """Answers to each prompt; further ones do not count."""
    served: bool = False
    """Whether a server answers for it: then more kinds of failure are asked again."""
    judge_repeats: int = 1
    """Judgements of each answer that a judge makes, unless it repeats more often."""


@dataclass(frozen=True, slots=True)
class PromptAnswers:
    """What the store has of the answers to one prompt."""

    settled: int
    """Answers given, or failed in a way that is not asked again."""
    texts: int
    """Those that are texts."""
    distinct: int
    """Different texts among them: each is judged once."""
    bytes: int
    """Bytes of UTF-8 of all texts."""


@dataclass(frozen=True, slots=True)
class Left:
    """Questions about the answers to one item that a judge has not answered."""

    questions: int
    bytes: int
    """Bytes of UTF-8 of these questions' answers."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One judgement of an item's answer."""

    place: int
    """The item's place."""
    answer_bytes: int
    verdict_bytes: int
    """What the judge said; 0 where it said nothing."""
    tokens: int
    """Prompt and completion tokens together, as the server counted them."""


@dataclass(frozen=True, slots=True)
class JudgeState:
    """What the store has of one judge."""

    made: int
    """Judgements made of the answers that are there."""
    left: dict[int, Left]
    """By the item's place, where there are any."""
    seen: list[Seen]
    """Some of its judgements of these items, of other studies too."""


def answers_by_prompt(connection: DuckDBPyConnection, standing: Sequence[Standing]) -> dict[str, PromptAnswers]:
    """By prompt id, for the prompts that have any answer of these checkpoints."""
    query = f"""{_MINE}
    SELECT prompt_id, count(*), count(text_id), count(DISTINCT text_id), coalesce(sum(strlen(body)), 0)::BIGINT
    FROM mine LEFT JOIN text USING (text_id) GROUP BY prompt_id"""
    rows = connection.execute(query, _standing(standing)).fetchall()
    return {prompt: PromptAnswers(*numbers) for prompt, *numbers in rows}


def judge_state(
    connection: DuckDBPyConnection,
    section: OpenAIJudge,
    rubric_sha256: str,
    standing: Sequence[Standing],
    items: Sequence[Item],
) -> JudgeState:
    """What one judge of a recipe has made of these checkpoints' answers to the items, and what is left."""
    asked = {
        "judge": judge_id(judge.setting_of(section, rubric_sha256)),
        "passing_judge": sorted(judge.PASSING),
        "prompts": [item.prompt_id for item in items],
        "kinds": [item.kind for item in items],
        "references": [item.reference_id for item in items],
    }
    rows = connection.execute(_LEFT, {**asked, **_standing(standing), "repeats": section.repeats}).fetchall()
    seen = connection.execute(_SEEN, asked).fetchall()
    left = {place: Left(questions, size) for place, _, questions, size in rows if questions}
    return JudgeState(sum(row[1] for row in rows), left, [Seen(*row) for row in seen])


def made_pairs(
    connection: DuckDBPyConnection,
    section: OpenAIJudge,
    rubric_sha256: str,
    standing: Sequence[Standing],
    items: Sequence[Item],
) -> int:
    """How often one judge of a recipe has compared two of these checkpoints' answers to the items' prompts."""
    values = {
        "judge": judge_id(judge.setting_of(section, rubric_sha256)),
        "passing_judge": sorted(judge.PASSING),
        "prompts": sorted({item.prompt_id for item in items}),
        "repeats": section.repeats,
    }
    [(count,)] = connection.execute(_MADE_PAIRS, {**values, **_standing(standing)}).fetchall()
    return int(count)


def _standing(standing: Sequence[Standing]) -> dict[str, Any]:
    return {
        "checkpoints": [one.checkpoint_id for one in standing],
        "samplings": [one.sampling_id for one in standing],
        "samples": [one.samples for one in standing],
        "served": [one.served for one in standing],
        "judge_repeats": [one.judge_repeats for one in standing],
        "passing": sorted(PASSING),
        "passing_served": sorted(PASSING_SERVED),
    }


_MINE = """
WITH asked AS (
  SELECT unnest($checkpoints::VARCHAR[]) AS checkpoint_id, unnest($samplings::VARCHAR[]) AS sampling_id,
    unnest($samples::INTEGER[]) AS samples, unnest($served::BOOLEAN[]) AS served,
    unnest($judge_repeats::INTEGER[]) AS judge_repeats
),
mine AS (
  SELECT prompt_id, text_id, judge_repeats FROM answer JOIN asked USING (checkpoint_id, sampling_id)
  WHERE sample_ix < samples AND NOT coalesce(list_contains(
    CASE WHEN served THEN $passing_served::VARCHAR[] ELSE $passing::VARCHAR[] END, error_kind), false)
)"""
_ITEMS = """
items AS (
  SELECT unnest($prompts::VARCHAR[]) AS prompt_id, unnest($kinds::VARCHAR[]) AS kind,
    unnest($references::VARCHAR[]) AS reference_text_id, unnest(range(len($prompts))) AS place
),
judged AS (
  SELECT * FROM judgement WHERE judge_id = $judge
    AND NOT coalesce(list_contains($passing_judge::VARCHAR[], error_kind), false)
)"""
_SAME = """judged.prompt_id = items.prompt_id AND judged.kind = items.kind
    AND judged.reference_text_id IS NOT DISTINCT FROM items.reference_text_id"""
_LEFT = f"""{_MINE},
{_ITEMS},
texts AS (
  SELECT prompt_id, text_id, greatest($repeats, max(judge_repeats)) AS repeats
  FROM mine WHERE text_id IS NOT NULL GROUP BY ALL
),
questions AS (
  SELECT items.*, text_id, unnest(range(repeats)) AS repeat FROM items JOIN texts USING (prompt_id)
),
answered AS (
  SELECT items.*, judged.judgement_id IS NOT NULL AS made FROM questions AS items LEFT JOIN judged
    ON judged.text_id = items.text_id AND judged.repeat = items.repeat AND {_SAME}
)
SELECT place, count(*) FILTER (made), count(*) FILTER (NOT made),
  coalesce(sum(strlen(body)) FILTER (NOT made), 0)::BIGINT
FROM answered JOIN text USING (text_id) GROUP BY place
"""
_SEEN = f"""WITH {_ITEMS}
SELECT place, strlen(shown.body), coalesce(strlen(said.body), 0), tokens
FROM items JOIN judged ON {_SAME} JOIN text AS shown ON shown.text_id = judged.text_id
LEFT JOIN text AS said ON said.text_id = judged.raw_text_id
WHERE tokens > 0 ORDER BY judgement_id LIMIT {SEEN}
"""
_MADE_PAIRS = f"""{_MINE}
SELECT count(*) FROM judgement
SEMI JOIN mine AS first ON first.prompt_id = judgement.prompt_id AND first.text_id = judgement.text_id
SEMI JOIN mine AS second ON second.prompt_id = judgement.prompt_id AND second.text_id = judgement.other_text_id
WHERE kind = '{judge.PAIRWISE}' AND judge_id = $judge AND repeat < $repeats
  AND list_contains($prompts::VARCHAR[], judgement.prompt_id)
  AND NOT coalesce(list_contains($passing_judge::VARCHAR[], error_kind), false)
"""
