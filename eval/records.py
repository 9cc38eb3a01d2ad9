"""From what engines and judges return to rows of the store."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from eval.backlog import Given, Wanted
from eval.engine import Answer, Engine, Likelihood, Sampling, Swap, Weights
from eval.identity import storable, text_id
from eval.judge import Judge, Judgement, judge_id_of
from eval.prompts import PromptSet
from eval.rows import (
    AnswerRow,
    AnswerTurnRow,
    CheckpointRow,
    JudgementRow,
    JudgeRow,
    LikelihoodRow,
    Row,
    SamplingRow,
    ScoreRow,
    StudyCheckpointRow,
    StudyJudgeRow,
    StudyRow,
    StudySetRow,
    SwapRow,
    TextRow,
)
from eval.transcript import transcript
from merge.points import MergePoint

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
    weights: Weights | None
    """Asked for only when some answer is missing; None: the engine has them from the start and no others."""
    samples: int | None = None
    """Answers per prompt; None: as many as its group's sampling says."""
    judge_repeats: int = 1
    """Judgements of an answer by each LLM, unless the judge repeats more often."""


@dataclass(frozen=True, slots=True)
class Group:
    """Checkpoints that one engine answers for, one after another."""

    open: Callable[[], Engine]
    """Starts the engine; called when the first missing answer is met."""
    sampling: Sampling
    jobs: Sequence[CheckpointJob]
    measures: bool = True
    """Whether the engine can tell how likely a text is; a chat server cannot."""

    def samples_of(self, job: CheckpointJob) -> int:
        """Answers per prompt of one of its checkpoints."""
        return self.sampling.samples if job.samples is None else job.samples


def study_rows(
    study: StudyRow, groups: Sequence[Group], sets: Sequence[PromptSet], judges: Sequence[Judge]
) -> Iterator[Row]:
    """A study, what it consists of, and its links to that."""
    yield study
    yield from set_rows(study.study_id, sets)
    for position, judge in enumerate(judges):
        yield judge_row(judge)
        yield StudyJudgeRow(study.study_id, judge_id_of(judge), position, judge.repeats)
    for group in groups:
        sampling = group.sampling
        yield SamplingRow(sampling.sampling_id, _json(sampling.setting))
        for job in group.jobs:
            yield checkpoint_row(job)
            link = study.study_id, job.checkpoint_id, job.kind, sampling.sampling_id, group.samples_of(job)
            yield StudyCheckpointRow(*link)


def judge_row(judge: Judge) -> JudgeRow:
    """A judge as the store keeps it before anybody calibrated it; one that the store knows stays as it is."""
    return JudgeRow(judge_id_of(judge), judge.name, judge.kind, _json(judge.setting), "not calibrated")


def set_rows(study_id: str, sets: Iterable[PromptSet]) -> Iterator[Row]:
    """A study's prompt sets and its links to them."""
    for one_set in sets:
        yield from one_set.rows()
        yield StudySetRow(study_id, one_set.set_id)


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


def answer_rows(
    checkpoint_id: str, sampling_id: str, wanted: Wanted, turns: Sequence[Answer]
) -> tuple[Given | None, list[Row]]:
    """An answer's rows, and its text as judges see it: None where a turn failed."""
    name = wanted.answer_id(checkpoint_id, sampling_id)
    error = turns[-1].error_kind
    bodies = [storable(turn.text) for turn in turns if turn.error_kind is None]
    rows: list[Row] = []
    for number, (body, turn) in enumerate(zip(bodies, turns, strict=False)):
        rows.append(TextRow(text_id(body), body))
        rows.append(AnswerTurnRow(name, number, text_id(body), turn.finish_reason, turn.tokens))
    if error is not None:
        return None, [_answer_row(name, checkpoint_id, sampling_id, wanted, error, None), *rows]
    whole = transcript(bodies)
    given = Given(wanted.prompt_id, text_id(whole), whole)
    row = _answer_row(name, checkpoint_id, sampling_id, wanted, None, given.text_id)
    return given, [row, TextRow(given.text_id, whole), *rows]


def likelihood_rows(checkpoint_id: str, sampling_id: str, wanted: Wanted, likelihood: Likelihood) -> list[Row]:
    """The rows of a text whose likelihood was measured; one that is no number has an error."""
    name = wanted.answer_id(checkpoint_id, sampling_id)
    error = likelihood.error_kind or (None if math.isfinite(likelihood.log_likelihood) else "not_finite")
    row = _answer_row(name, checkpoint_id, sampling_id, wanted, error, None)
    if error is not None:
        return [row]
    size = len(wanted.messages[-1]["content"].encode())
    return [row, LikelihoodRow(name, likelihood.log_likelihood, likelihood.tokens, size)]


def swap_row(checkpoint_id: str, swap: Swap) -> SwapRow:
    """What was streamed into an engine as this checkpoint."""
    return SwapRow(checkpoint_id, swap.sha256, swap.tensors, swap.bytes)


def _answer_row(
    name: str, checkpoint_id: str, sampling_id: str, wanted: Wanted, error: str | None, judged: str | None
) -> AnswerRow:
    return AnswerRow(name, checkpoint_id, wanted.prompt_id, sampling_id, wanted.sample_ix, error, judged)


def judgement_rows(unanswered: JudgementRow, judgement: Judgement) -> Iterator[Row]:
    """A judgement's own row, then what the judge said, and its scores where it has no error."""
    raw = None if judgement.raw is None else storable(judgement.raw)
    yield replace(
        unanswered,
        reported_model=judgement.reported_model,
        raw_text_id=None if raw is None else text_id(raw),
        tokens=judgement.tokens,
        cost=judgement.cost,
        error_kind=judgement.error_kind,
        prompt_tokens=judgement.prompt_tokens,
        completion_tokens=judgement.completion_tokens,
        currency=judgement.currency,
        output=judgement.output,
    )
    if raw is not None:
        yield TextRow(text_id(raw), raw)
    for score in judgement.scores:
        reason = None if score.reason is None else storable(score.reason)
        yield ScoreRow(unanswered.judgement_id, score.axis, score.value, score.label, reason)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
