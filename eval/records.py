"""From what engines and judges return to rows of the store."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from eval.backlog import Asked, Given, Wanted
from eval.engine import Answer, Sampling
from eval.identity import storable, text_id
from eval.judge import Judge, Judgement, judge_id_of
from eval.prompts import PromptSet
from eval.rows import (
    AnswerRow,
    AnswerTurnRow,
    CheckpointRow,
    JudgeRow,
    Row,
    SamplingRow,
    ScoreRow,
    StudyCheckpointRow,
    StudyJudgeRow,
    StudyRow,
    StudySetRow,
    TextRow,
)
from merge.points import MergePoint

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

CheckpointKind = Literal["merge", "base", "model-safe", "model-useful", "served", "other"]


@dataclass(frozen=True, slots=True)
class CheckpointJob:
    """One checkpoint that shall answer."""

    checkpoint_id: str
    kind: CheckpointKind
    label: str
    """Short name for tables: `r 0.45`, `model-safe`."""
    point: MergePoint | None
    """The merge's setting; None for references."""
    recipe: Mapping[str, Any]
    """What the store keeps of its making: input hashes, threads, versions, mergekit config. No paths."""
    weights: Callable[[Mapping[str, torch.Tensor]], Iterator[tuple[str, torch.Tensor]]]
    """All its weights by name, given places that it may fill; called only when some answer is missing."""


def study_rows(
    study: StudyRow,
    checkpoints: Sequence[CheckpointJob],
    sets: Sequence[PromptSet],
    judges: Sequence[Judge],
    sampling: Sampling,
) -> Iterator[Row]:
    """A study, what it consists of, and its links to that."""
    yield study
    for one_set in sets:
        yield from one_set.rows()
        yield StudySetRow(study.study_id, one_set.set_id)
    for position, judge in enumerate(judges):
        trust = "not calibrated"
        yield JudgeRow(judge_id_of(judge), judge.name, judge.kind, _json(judge.setting), trust)
        yield StudyJudgeRow(study.study_id, judge_id_of(judge), position, judge.repeats)
    yield SamplingRow(sampling.sampling_id, _json(sampling.setting))
    for job in checkpoints:
        yield checkpoint_row(job)
        yield StudyCheckpointRow(study.study_id, job.checkpoint_id, job.kind, sampling.sampling_id, sampling.samples)


def checkpoint_row(job: CheckpointJob) -> CheckpointRow:
    """A checkpoint as the store keeps it."""
    point = job.point
    return CheckpointRow(
        checkpoint_id=job.checkpoint_id,
        kind=job.kind,
        label=job.label,
        method=point.method if point else None,
        mode=point.mode if point else None,
        ratio=point.ratio if point else None,
        density_safe=point.density_safe if point else None,
        density_useful=point.density_useful if point else None,
        lambda_=point.lambda_ if point else None,
        mask_seed=point.mask_seed if point else None,
        normalize=point.normalize if point else None,
        rescale=point.rescale if point else None,
        recipe=_json(job.recipe),
        way=point.way if point else None,
        int8_mask=point.int8_mask if point else None,
        gradient=point.gradient if point else None,
    )


def answer_rows(checkpoint_id: str, sampling_id: str, wanted: Wanted, answer: Answer) -> tuple[Given | None, list[Row]]:
    """An answer's rows, and its text as judges see it: None where there is none."""
    name = wanted.answer_id(checkpoint_id, sampling_id)
    body = storable(answer.text)
    judged = None if answer.error_kind is not None else text_id(body)
    row = AnswerRow(name, checkpoint_id, wanted.prompt_id, sampling_id, wanted.sample_ix, answer.error_kind, judged)
    if judged is None:
        return None, [row]
    given = Given(wanted.prompt_id, judged, body)
    turn = AnswerTurnRow(name, 0, given.text_id, answer.finish_reason, answer.tokens)
    return given, [row, TextRow(given.text_id, body), turn]


def judgement_rows(asked: Asked, judgement: Judgement) -> Iterator[Row]:
    """A judgement's rows: scores, or the kind of error."""
    raw = None if judgement.raw is None else storable(judgement.raw)
    if raw is not None:
        yield TextRow(text_id(raw), raw)
    yield replace(
        asked.row,
        reported_model=judgement.reported_model,
        raw_text_id=None if raw is None else text_id(raw),
        tokens=judgement.tokens,
        cost=judgement.cost,
        error_kind=judgement.error_kind,
    )
    for score in judgement.scores:
        reason = None if score.reason is None else storable(score.reason)
        yield ScoreRow(asked.row.judgement_id, score.axis, score.value, score.label, reason)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
