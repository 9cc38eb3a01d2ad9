"""How far a study is: what its store holds of the answers and judgements that its recipe asks for."""

from __future__ import annotations

from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from eval.belonging import SHORTLISTED
from eval.judge import ASKED, PAIRWISE
from mergescope.ground.units import amounts_text


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one study."""

    checkpoints: int
    prompts: int
    """Distinct ones of all its sets."""
    answers: int
    """Given, measured or failed."""
    answers_wanted: int
    """Of every checkpoint, to every prompt, as often as the recipe samples; of imported ones what was imported."""
    answers_failed: dict[str, int]
    """Among `answers`, by kind of error."""
    judgements: int
    """Made or failed."""
    judgements_wanted: int
    """Of the answers given so far; equal answers count once."""
    judgements_failed: dict[str, int]
    """Among `judgements`, by kind of error."""
    used: dict[str, float]
    """What `judgements` and pairs took: prompt tokens, completion tokens, and money by currency, as far as known."""

    @property
    def text(self) -> str:
        """In words."""
        answers = f"{self.answers} of {self.answers_wanted} answers{_failed(self.answers_failed)}"
        judgements = f"{self.judgements} of {self.judgements_wanted} judgements{_failed(self.judgements_failed)}"
        used = f" ({told})" if (told := amounts_text(self.used)) else ""
        return f"{self.checkpoints} checkpoints, {self.prompts} prompts, {answers}, {judgements}{used}"


def tally(connection: DuckDBPyConnection, study_id: str) -> Tally:
    """The counts of a study that was evaluated at least once."""
    values = {"study": study_id, "asked": sorted(ASKED)}
    row = connection.execute(_COUNTS, values).fetchone()
    assert row is not None  # aggregates always give one row
    failed = dict(connection.execute(_ANSWERS_FAILED, {"study": study_id}).fetchall())
    unscored = dict(connection.execute(_JUDGEMENTS_FAILED, values).fetchall())
    checkpoints, prompts, answers, wanted, judgements, questions = row
    used = dict(connection.execute(_USED, values).fetchall())
    return Tally(checkpoints, prompts, answers, wanted, failed, judgements, questions, unscored, used)


def _failed(kinds: dict[str, int]) -> str:
    return f" (failed: {', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))})" if kinds else ""


_GIVEN = f"""
WITH mine AS (
  SELECT DISTINCT checkpoint_id, sampling_id, samples, kind <> 'served' AS measures, role <> 'imported' AS asked,
    coalesce(shortlisted.judge_repeats, 1) AS judge_repeats
  FROM study_checkpoint JOIN checkpoint USING (checkpoint_id) LEFT JOIN {SHORTLISTED} shortlisted USING (checkpoint_id)
  WHERE study_id = $study
),
items AS (
  SELECT DISTINCT prompt_id, kind, reference_text_id FROM study_set JOIN set_item USING (set_id) WHERE study_id = $study
),
prompts AS (SELECT prompt_id, bool_or(kind = 'text') AS measured FROM items GROUP BY prompt_id),
given AS (
  SELECT answer.*, judge_repeats FROM answer
  JOIN mine ON mine.checkpoint_id = answer.checkpoint_id AND mine.sampling_id = answer.sampling_id
    AND answer.sample_ix < CASE WHEN answer.prompt_id IN (FROM prompts SELECT prompt_id WHERE measured) THEN 1
      ELSE mine.samples END
  SEMI JOIN prompts USING (prompt_id)
)"""
_JUDGED = f"""
{_GIVEN},
questions AS (
  SELECT judge_id, prompt_id, items.kind, given.text_id, items.reference_text_id,
    max(CASE WHEN judge.kind = 'llm' THEN greatest(repeats, judge_repeats) ELSE repeats END) AS repeats
  FROM items JOIN given USING (prompt_id) JOIN study_judge ON study_id = $study JOIN judge USING (judge_id)
  WHERE given.text_id IS NOT NULL AND judge.setting->>'$.kind' <> 'imported'
    AND CASE WHEN judge.kind = 'classifier' THEN items.kind = 'choice' ELSE list_contains($asked, items.kind) END
  GROUP BY ALL
),
judged AS (
  SELECT judgement.* FROM judgement JOIN questions ON judgement.judge_id = questions.judge_id
    AND judgement.prompt_id = questions.prompt_id AND judgement.kind = questions.kind
    AND judgement.text_id = questions.text_id AND judgement.repeat < questions.repeats
    AND judgement.reference_text_id IS NOT DISTINCT FROM questions.reference_text_id
)"""
_COUNTS = f"""
{_JUDGED}
SELECT (SELECT count(*) FROM mine), (SELECT count(*) FROM prompts), (SELECT count(*) FROM given),
  (SELECT coalesce(sum(CASE WHEN measured THEN measures::INT ELSE samples END), 0)::BIGINT FROM mine, prompts
    WHERE asked) + (SELECT count(*) FROM given SEMI JOIN (FROM mine WHERE NOT asked) USING (checkpoint_id)),
  (SELECT count(*) FROM judged), (SELECT coalesce(sum(repeats), 0)::BIGINT FROM questions)
"""
_ANSWERS_FAILED = f"{_GIVEN} SELECT error_kind, count(*) FROM given WHERE error_kind IS NOT NULL GROUP BY 1"
_JUDGEMENTS_FAILED = f"{_JUDGED} SELECT error_kind, count(*) FROM judged WHERE error_kind IS NOT NULL GROUP BY 1"
_USED = f"""
{_JUDGED},
compared AS (
  SELECT judgement.* FROM judgement JOIN study_judge mine
    ON mine.study_id = $study AND mine.judge_id = judgement.judge_id AND judgement.repeat < mine.repeats
  SEMI JOIN given first ON first.prompt_id = judgement.prompt_id AND first.text_id = judgement.text_id
  SEMI JOIN given second ON second.prompt_id = judgement.prompt_id AND second.text_id = judgement.other_text_id
  WHERE judgement.kind = '{PAIRWISE}'
),
paid AS (FROM judged UNION ALL FROM compared)
SELECT 'prompt tokens', sum(prompt_tokens)::DOUBLE FROM paid HAVING sum(prompt_tokens) > 0
UNION ALL SELECT 'completion tokens', sum(completion_tokens)::DOUBLE FROM paid HAVING sum(completion_tokens) > 0
UNION ALL (SELECT currency, sum(cost) FROM paid WHERE currency IS NOT NULL GROUP BY 1 ORDER BY 1)
"""
