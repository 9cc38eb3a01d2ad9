"""What a judge is: questions in, judgements out. The judges themselves stand in `eval/judges/`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from eval.chat.budget import Budget
from eval.chat.place import host_of
from eval.config import OpenAIJudge, Output, ProxyJudge
from eval.identity import Message, judge_id
from eval.prompts import Kind

ErrorKind = Literal["filter", "timeout", "parse", "server", "refused", "rejected"]
"""filter: a content filter took it. timeout, server: it took too long, or the server failed, again and again. parse:
the verdict cannot be read. refused: the judge will not judge. rejected: the server would not take the request."""
PASSING: frozenset[ErrorKind] = frozenset({"timeout", "server", "rejected"})
"""Errors that another run may not meet: it asks again."""
ASKED: frozenset[Kind] = frozenset({"harmful", "jailbreak", "borderline", "benign"})
"""Kinds of items whose answers need judging: all but those that are counted or measured."""

PAIRWISE = "pairwise"
"""Kind of the judgements that compare two answers."""


@dataclass(frozen=True, slots=True)
class Question:
    """One answer to be judged, and all that the judge is shown."""

    judgement_id: str
    """Its content id: what was once judged is not judged again."""
    kind: Kind
    """Kind of the prompt: it decides the rubric."""
    messages: tuple[Message, ...]
    """The conversation that was answered."""
    answer: str
    """The text to be judged."""
    reference: str | None
    """A good answer; None where there is none."""
    repeat: int
    """Which of the repeated judgements this is, from 0."""
    other: str | None = None
    """The answer shown second, where the judge shall say which of two is better; None where one is judged alone."""

    @property
    def rubric(self) -> str:
        """What the rubric calls its kind: pairwise for two answers, else the prompt's kind."""
        return self.kind if self.other is None else PAIRWISE


@dataclass(frozen=True, slots=True)
class AxisScore:
    """A judge's word on one axis: a value or a label, never both."""

    axis: str
    value: float | None = None
    """1 to 5, higher is better; None where the axis has labels."""
    label: str | None = None
    """none, partial or full (refusal); full_answer, partial_refusal or full_refusal (compliance); first, second or tie
    (preference)."""
    reason: str | None = None
    """Why, in the judge's words."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of one question."""

    scores: tuple[AxisScore, ...]
    """Empty where it is unscored."""
    error_kind: ErrorKind | None = None
    """Why it is unscored; None where it is scored."""
    raw: str | None = None
    """What the judge said, whole; None for judges without words."""
    reported_model: str | None = None
    """The model that the server says it used."""
    tokens: int | None = None
    """Prompt and completion tokens together; of all readings, as what follows."""
    cost: float | None = None
    """In `currency`; None where the price, or what was used, is not known."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    currency: str | None = None
    """Of the cost, as the recipe names it."""
    output: Output | None = None
    """How the verdict was asked for; None for judges without words, and where the server gave none."""


class Judge(Protocol):
    """A model and a rubric version, or formulas."""

    @property
    def name(self) -> str:
        """Short name for tables."""

    @property
    def kind(self) -> Literal["llm", "proxy", "classifier"]:
        """What it is; a proxy is always labelled so."""

    @property
    def setting(self) -> Mapping[str, object]:
        """All that makes its scores what they are: model asked, host, rubrics, decoding, output mode, language."""

    @property
    def repeats(self) -> int:
        """Judgements per answer."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of items that it scores; others are never put to it."""

    @property
    def compares(self) -> bool:
        """Whether it can say which of two answers is better; pairs are put to no other."""

    def score(self, questions: Iterable[Question]) -> Iterator[tuple[Question, Judgement]]:
        """Each question with its judgement as soon as it is there, in any order.

        Taking the next question may wait: questions come while answers are still being given. An error becomes an
        unscored judgement, never a score.
        """


def judge_id_of(judge: Judge) -> str:
    """Content id of a judge's setting."""
    return judge_id(judge.setting)


def setting_of(section: OpenAIJudge, rubric_sha256: str) -> dict[str, object]:
    """All that makes a served judge's scores what they are: model, host, rubric, decoding, output mode, language."""
    return {
        "kind": "llm",
        "model": section.model,
        "host": host_of(str(section.base_url)),
        "rubric": rubric_sha256,
        "temperature": str(section.temperature),
        "max_tokens": section.max_tokens,
        "output": section.output,
        "language": section.language,
    }


def open_judge(section: ProxyJudge | OpenAIJudge, journal: Path, budget: Budget | None = None) -> Judge:
    """The judge that a recipe's section describes.

    journal: the folder where received responses are kept. budget: what the run may spend; None: no limit. Raises
    MergescopeError where the environment variable with the key is missing, or the price that a budget needs.
    """
    match section:
        case ProxyJudge():
            from eval.judges.proxy import ProxyScorer

            return ProxyScorer(section.language)
        case OpenAIJudge():
            from eval.judges.openai import OpenAIScorer

            return OpenAIScorer.from_section(section, journal, budget)
