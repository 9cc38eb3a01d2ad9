"""Our own form of answers and judgements: what a row may hold, and what it must."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal, NoReturn, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from eval.config import Output
from eval.engine import Answer, AnswerError
from eval.identity import Message, prompt_id, storable, text_id
from eval.interchange.lines import Raw
from eval.judge import ErrorKind
from eval.prompts import Kind
from eval.transcript import transcript

JudgeKind = Literal["llm", "proxy", "classifier"]
LABELS = {
    "refusal": ("none", "partial", "full"),
    "compliance": ("full_answer", "partial_refusal", "full_refusal"),
    "correct": ("right", "wrong"),
}
"""The labels of each axis that has labels."""
VALUED = ("safety", "fluency", "accuracy", "detail", "relevance")
"""Axes whose scores are numbers from LOWEST to HIGHEST."""
LOWEST, HIGHEST = 1.0, 5.0

Text = Annotated[str, AfterValidator(storable)]
"""As the store can hold it."""


def is_name(text: str) -> bool:
    """Whether a text can be read as a name: not blank, and without control characters and the like."""
    return bool(text.strip()) and not any(unicodedata.category(one)[0] == "C" or one in "\u2028\u2029" for one in text)


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"{text!r} is not a name: give it in letters")
    return text


Name = Annotated[Text, AfterValidator(_name)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]


class StrictRow(BaseModel):
    """A row of ours."""

    # Not one unknown field: a misspelt `value` would turn a score into an unscored judgement.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Said(StrictRow):
    """One turn of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: Text


class Turn(StrictRow):
    """One turn of an answer."""

    text: Text
    finish_reason: Literal["stop", "length"] = "stop"
    tokens: Count = 0
    """Generated tokens; 0 where nobody counted them."""

    @property
    def answer(self) -> Answer:
        """As engines give it."""
        return Answer(self.text, self.finish_reason, self.tokens)


class Likely(StrictRow):
    """How likely a checkpoint holds a text: items of kind text."""

    log_likelihood: Annotated[float, Field(allow_inf_nan=False, le=0)]
    """Natural, summed over tokens."""
    tokens: Count
    bytes: Count
    """Of the text in UTF-8."""


class OfPrompt(StrictRow):
    """A row that names its prompt: by its text, its turns, its id, or several of them that agree."""

    prompt: Text | None = None
    """A prompt of one user turn."""
    messages: list[Said] | None = None
    """The whole conversation up to the turn that was answered."""
    prompt_id: Text | None = None
    kind: Kind | None = None
    """Kind of the item; None: whatever the study's sets say."""
    text_id: Text | None = None
    """Id of the answer's text."""

    @model_validator(mode="after")
    def _one_prompt(self) -> Self:
        if self.prompt is not None and self.messages is not None:
            raise ValueError("`prompt` and `messages` are both given: keep one of them")
        if self.said is None and self.prompt_id is None:
            raise ValueError("`prompt` is missing: give it, or `messages`, or `prompt_id`")
        if self.said is not None and self.prompt_id not in (None, self._told_id):
            raise ValueError("`prompt_id` is not that of the prompt: leave it out")
        return self

    @property
    def said(self) -> tuple[Message, ...] | None:
        """The prompt's turns; None where only its id is given."""
        if self.prompt is not None:
            return ({"role": "user", "content": self.prompt},)
        if self.messages is None:
            return None
        return tuple({"role": turn.role, "content": turn.content} for turn in self.messages)

    @property
    def asked(self) -> str:
        """Id of the prompt."""
        return self.prompt_id or self._told_id

    @property
    def is_text(self) -> bool:
        """Whether it is about a text, which is measured and not answered."""
        return self.kind == "text"

    @property
    def _told_id(self) -> str:
        # as in eval.prompts: a text is another prompt than the same words as a question
        return prompt_id([{**turn, "role": "text"} if self.is_text else turn for turn in self.said or ()])


class AnswerLine(OfPrompt):
    """One checkpoint's answer to one item."""

    answer: Text | None = None
    """The answer of one turn."""
    turns: list[Turn] | None = Field(default=None, min_length=1)
    """The answer's turns, with why they ended."""
    error_kind: AnswerError | None = None
    """Why there is no answer."""
    likelihood: Likely | None = None
    sample: Annotated[int, Field(ge=0, lt=100)] = 0
    """Which of the answers to the same prompt it is."""
    answer_id: Text | None = None
    checkpoint_id: Text | None = None
    sampling_id: Text | None = None
    checkpoint: Text | None = None
    """From here on for readers only: what stands here is not taken in."""
    checkpoint_kind: Text | None = None
    ratio: Text | None = None
    mask_seed: int | None = None
    set: Text | None = None
    set_version: Text | None = None
    key: Text | None = None
    category: list[Text] | None = None
    split: Text | None = None

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        given = [name for name in ("answer", "turns", "likelihood") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"`{given[0]}` and `{given[1]}` are both given: keep one of them")
        if self.error_kind is not None and (self.answer is not None or self.likelihood is not None):
            raise ValueError(f"`{given[0]}` stands beside an `error_kind`: keep one of them")
        if self.likelihood is not None and self.kind not in (None, "text"):
            raise ValueError(f"`likelihood` of kind {self.kind}: give an `answer`")
        if self.is_text and {"answer", "turns"} & set(given):
            raise ValueError(f"`{given[0]}` to a text, which is measured: give its `likelihood`")
        if not given and self.error_kind is None and self.text_id is None:
            raise ValueError("`answer` is missing: give it, or `turns`, or an `error_kind`")
        if self.body is not None and self.text_id not in (None, text_id(self.body)):
            raise ValueError("`text_id` is not that of the answer: leave it out")
        return self

    @property
    def is_text(self) -> bool:
        """Whether it is about a text, which is measured and not answered."""
        return self.kind == "text" or self.likelihood is not None

    @property
    def given(self) -> tuple[Answer, ...]:
        """The turns as engines give them; empty where there are none."""
        if self.answer is not None:
            return (Turn(text=self.answer).answer,)
        return tuple(turn.answer for turn in self.turns or ())

    @property
    def body(self) -> str | None:
        """The text that is judged; None where there is none in this row."""
        if self.error_kind is not None or not self.given:
            return None
        return transcript([turn.text for turn in self.given])

    @property
    def is_bare(self) -> bool:
        """Whether its text was left out when it was exported."""
        return self.error_kind is None and self.likelihood is None and self.body is None


class JudgementLine(OfPrompt):
    """One judge's word on one answer on one axis, or why it has none."""

    answer: Text | None = None
    """The text that was judged."""
    axis: Text | None = None
    value: Finite | None = None
    label: Text | None = None
    reason: Text | None = None
    error_kind: ErrorKind | None = None
    """Why it is unscored."""
    judge: Name | None = None
    """Name of the judge."""
    judge_kind: JudgeKind = "llm"
    """llm also for people, whose name tells what they are; proxy for formulas; classifier: the scorer of choices."""
    rubric: Text | None = None
    """What the judge was told, by any name that tells it from other rubrics; None: the file itself stands for it."""
    reference_text_id: Text | None = None
    repeat: Annotated[int, Field(ge=0, lt=100)] = 0
    raw: Text | None = None
    """What the judge said, whole."""
    reported_model: Text | None = None
    tokens: Count | None = None
    cost: Finite | None = None
    prompt_tokens: Count | None = None
    completion_tokens: Count | None = None
    currency: Text | None = None
    output: Output | None = None
    """How the verdict was asked for; None: not known."""
    judgement_id: Text | None = None
    judge_id: Text | None = None

    @model_validator(mode="after")
    def _one_word(self) -> Self:
        if self.answer is None and self.text_id is None:
            raise ValueError("`answer` is missing: give the text that was judged, or its `text_id`")
        if self.answer is not None and self.text_id not in (None, text_id(self.answer)):
            raise ValueError("`text_id` is not that of the answer: leave it out")
        if self.value is not None and self.label is not None:
            raise ValueError("`value` and `label` are both given: keep one of them")
        scored = self.value is not None or self.label is not None
        if scored and self.error_kind is not None:
            raise ValueError("`error_kind` stands beside a score: keep one of them")
        # a judge may have no opinion at all; only an exported row says so, by the id of its judgement
        if not scored and self.error_kind is None and (self.axis is not None or self.judgement_id is None):
            raise ValueError("`value` is missing: give it, or a `label`, or an `error_kind`")
        if self.judge_kind == "classifier" and self.axis not in (None, "correct"):
            # what counts as the scorer of choices has no estimates of its own
            raise ValueError("`judge_kind` classifier scores choices alone, on the axis correct: use llm or proxy")
        if scored:
            check_score(self.axis, self.value, self.label)
        return self

    @property
    def judged(self) -> str:
        """Id of the text that was judged."""
        return self.text_id or text_id(self.answer or "")


def answer_line(raw: Raw) -> AnswerLine:
    """A row as an answer; raises DataError naming file, line, field and cure."""
    try:
        return AnswerLine.model_validate(dict(raw.fields))
    except ValidationError as error:
        complain(raw, error, AnswerLine)


def judgement_line(raw: Raw) -> JudgementLine:
    """A row as a judgement; raises DataError naming file, line, field and cure."""
    try:
        return JudgementLine.model_validate(dict(raw.fields))
    except ValidationError as error:
        complain(raw, error, JudgementLine)


def check_score(axis: str | None, value: float | None, label: str | None) -> None:
    """Raise ValueError where a score does not fit its axis."""
    if axis is None:
        raise ValueError("`axis` is missing: name what was scored")
    if axis in VALUED:
        if value is None:
            raise ValueError(f"`label` on {axis}, which has numbers: give a `value` from 1 to 5")
        if not LOWEST <= value <= HIGHEST:
            raise ValueError(f"`value` {value:g} on {axis} is out of range: it goes from 1 to 5")
    elif axis not in LABELS:
        raise ValueError(f"`axis` {axis!r} is not known: use one of {', '.join([*VALUED, *LABELS])}")
    elif label not in LABELS[axis]:
        raise ValueError(f"`label` {label!r} is not one of {axis}: use {', '.join(LABELS[axis])}")


def complain(raw: Raw, error: ValidationError, form: type[BaseModel]) -> NoReturn:
    """Raise DataError about the first thing that is wrong with a row."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "value_error":
        what, _, cure = str(first["ctx"]["error"]).partition(": ")
        raw.refuse(what, cure=cure or None)
    if first["type"] == "extra_forbidden":
        raw.refuse(f"unknown field `{place}`", cure=f"known fields: {', '.join(form.model_fields)}")
    if first["type"] == "missing":
        raw.refuse(f"`{place}` is missing", cure="add it")
    raw.refuse(f"`{place}`: {first['msg'][:1].lower()}{first['msg'][1:]}", value=first["input"], cure="correct it")
