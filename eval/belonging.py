"""Which answers and judgements of a store belong to a study: relations for queries, so that all count the same ones.

Parameters: `$study`, of JUDGEMENTS and ONE_OF_EACH `$judge` as well, and of the latter
`$repeat`.
"""

from __future__ import annotations

ANSWERS = """(
  SELECT answer.* FROM answer SEMI JOIN (FROM study_checkpoint WHERE study_id = $study) mine
    ON mine.checkpoint_id = answer.checkpoint_id AND mine.sampling_id = answer.sampling_id
    AND answer.sample_ix < mine.samples
)"""
"""Rows of `answer`: of the study's checkpoints, asked as it asks them, as often as it samples."""
_JUDGEMENTS = """(
  SELECT judgement.* FROM judgement SEMI JOIN (
    SELECT judge_id, repeats, judge.setting->>'$.kind' = 'exact' AS scores_choices
    FROM study_judge JOIN judge USING (judge_id) WHERE study_id = $study
  ) mine ON mine.judge_id = judgement.judge_id AND {counts}
    AND CASE judgement.kind WHEN 'choice' THEN scores_choices ELSE judgement.judge_id = $judge END
)"""
JUDGEMENTS = _JUDGEMENTS.format(counts="judgement.repeat < mine.repeats")
"""Rows of `judgement`: one judge's, as often as the study repeats it; of kind choice the study's own scorer's."""
ONE_OF_EACH = _JUDGEMENTS.format(counts="judgement.repeat = $repeat")
"""The same with one judgement of each answer, from 0; also those that only shortlisted points have."""
SHORTLISTED = """(
  SELECT DISTINCT checkpoint_id, (study.recipe->>'$.eval.shortlist.judge_repeats')::INTEGER AS judge_repeats
  FROM study_checkpoint JOIN study USING (study_id) JOIN checkpoint USING (checkpoint_id)
  WHERE study_id = $study AND role = 'merge'
    AND list_contains((study.recipe->>'$.eval.shortlist.points[*]')::DECIMAL(9, 6)[], ratio)
)"""
"""`checkpoint_id` of the study's shortlisted merges, and how often an LLM judges each of their answers at least."""
