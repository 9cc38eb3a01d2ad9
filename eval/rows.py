"""Rows of the store: one frozen record per table, fields in the order of the columns.

What each column means stands beside it in `migrations/`; None is NULL.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Protocol


class Row(Protocol):
    """A record that knows its table."""

    TABLE: ClassVar[str]


@dataclass(frozen=True, slots=True)
class PromptSetRow:
    TABLE: ClassVar[str] = "prompt_set"
    set_id: str
    name: str
    version: str
    sha256: str
    licence: str
    redistributable: bool


@dataclass(frozen=True, slots=True)
class PromptRow:
    TABLE: ClassVar[str] = "prompt"
    prompt_id: str
    messages: str


@dataclass(frozen=True, slots=True)
class TextRow:
    TABLE: ClassVar[str] = "text"
    text_id: str
    body: str


@dataclass(frozen=True, slots=True)
class SetItemRow:
    TABLE: ClassVar[str] = "set_item"
    set_id: str
    item_key: str
    prompt_id: str
    kind: str
    category: tuple[str, ...]
    group_id: str
    split: str
    reference_text_id: str | None
    reference_refusal: str | None
    reference_refusal_source: str | None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    TABLE: ClassVar[str] = "checkpoint"
    checkpoint_id: str
    kind: str
    label: str
    method: str | None
    mode: str | None
    ratio: Decimal | None
    density_safe: Decimal | None
    density_useful: Decimal | None
    lambda_: Decimal | None
    mask_seed: int | None
    normalize: bool | None
    rescale: bool | None
    recipe: str
    way: str | None
    int8_mask: bool | None
    gradient: tuple[Decimal, ...] | None


@dataclass(frozen=True, slots=True)
class SamplingRow:
    TABLE: ClassVar[str] = "sampling"
    sampling_id: str
    setting: str


@dataclass(frozen=True, slots=True)
class AnswerRow:
    TABLE: ClassVar[str] = "answer"
    answer_id: str
    checkpoint_id: str
    prompt_id: str
    sampling_id: str
    sample_ix: int
    error_kind: str | None
    text_id: str | None


@dataclass(frozen=True, slots=True)
class AnswerTurnRow:
    TABLE: ClassVar[str] = "answer_turn"
    answer_id: str
    turn: int
    text_id: str
    finish_reason: str
    tokens: int


@dataclass(frozen=True, slots=True)
class LikelihoodRow:
    TABLE: ClassVar[str] = "likelihood"
    answer_id: str
    log_likelihood: float
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SwapRow:
    TABLE: ClassVar[str] = "swap"
    checkpoint_id: str
    sha256: str
    tensors: int
    bytes: int


@dataclass(frozen=True, slots=True)
class JudgeRow:
    TABLE: ClassVar[str] = "judge"
    judge_id: str
    name: str
    kind: str
    setting: str
    trust: str


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    TABLE: ClassVar[str] = "calibration"
    calibration_id: str
    judge_id: str
    labels_sha256: str
    name: str
    language: str | None
    n: int
    trust: str
    report: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class JudgementRow:
    TABLE: ClassVar[str] = "judgement"
    judgement_id: str
    judge_id: str
    prompt_id: str
    kind: str
    text_id: str
    reference_text_id: str | None
    repeat: int
    reported_model: str | None = None
    raw_text_id: str | None = None
    tokens: int | None = None
    cost: float | None = None
    error_kind: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    currency: str | None = None
    output: str | None = None
    other_text_id: str | None = None


@dataclass(frozen=True, slots=True)
class ScoreRow:
    TABLE: ClassVar[str] = "score"
    judgement_id: str
    axis: str
    value: float | None
    label: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class VerdictRow:
    TABLE: ClassVar[str] = "verdict"
    verdict_id: str
    text_id: str
    prompt_id: str
    axis: str
    value: float | None
    label: str | None
    rater: str
    blind: bool
    seen_judge: bool
    p_selected: float | None
    made_at: datetime
    supersedes: str | None


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    TABLE: ClassVar[str] = "choice"
    choice_id: str
    study_id: str
    checkpoint_id: str
    rule: str
    store_revision: int
    evidence_sha256: str
    who: str
    made_at: datetime
    note: str
    supersedes: str | None


@dataclass(frozen=True, slots=True)
class StudyRow:
    TABLE: ClassVar[str] = "study"
    study_id: str
    name: str
    recipe: str
    recipe_hash: str


@dataclass(frozen=True, slots=True)
class StudyCheckpointRow:
    TABLE: ClassVar[str] = "study_checkpoint"
    study_id: str
    checkpoint_id: str
    role: str
    sampling_id: str
    samples: int


@dataclass(frozen=True, slots=True)
class StudySetRow:
    TABLE: ClassVar[str] = "study_set"
    study_id: str
    set_id: str


@dataclass(frozen=True, slots=True)
class StudyJudgeRow:
    TABLE: ClassVar[str] = "study_judge"
    study_id: str
    judge_id: str
    position: int
    repeats: int


@dataclass(frozen=True, slots=True)
class StudyPairRow:
    TABLE: ClassVar[str] = "study_pair"
    study_id: str
    checkpoint_id: str
    baseline_id: str


@dataclass(frozen=True, slots=True)
class EstimateRow:
    TABLE: ClassVar[str] = "estimate"
    study_id: str
    checkpoint_id: str
    judge_id: str
    metric: str
    scope: str
    split: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    n_unscored: int
    worst: float | None
    best: float | None
    note: str | None
