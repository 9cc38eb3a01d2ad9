"""Which answers and judgements of a store belong to a study: relations for queries, so that all count the same ones.

Parameters: `$study`, and of JUDGEMENTS `$judge` as well.
"""

from __future__ import annotations

ANSWERS = """(
  SELECT answer.* FROM answer SEMI JOIN (FROM study_checkpoint WHERE study_id = $study) mine
    ON mine.checkpoint_id = answer.checkpoint_id AND mine.sampling_id = answer.sampling_id
    AND answer.sample_ix < mine.samples
)"""
"""Rows of `answer`: of the study's checkpoints, asked as it asks them, as often as it samples."""
JUDGEMENTS = """(
  SELECT judgement.* FROM judgement SEMI JOIN (
    SELECT judge_id, repeats, judge.setting->>'$.kind' = 'exact' AS scores_choices
    FROM study_judge JOIN judge USING (judge_id) WHERE study_id = $study
  ) mine ON mine.judge_id = judgement.judge_id AND judgement.repeat < mine.repeats
    AND CASE judgement.kind WHEN 'choice' THEN scores_choices ELSE judgement.judge_id = $judge END
)"""
"""Rows of `judgement`: one judge's, as often as the study repeats it; of kind choice the study's own scorer's."""
