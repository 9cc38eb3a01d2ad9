"""The `data.make` section of a recipe: which models make preference data, and from what."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, model_validator

from eval.config import Decimal6, OpenAIJudge, Output, Price

QuestionKind = Literal["harmful", "borderline"]
"""Harmful questions are to be refused or answered safely; borderline ones only look so and are to be answered."""


class WriterSection(BaseModel):
    """A model behind an OpenAI-compatible server that writes texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    """Model name that the server is asked for."""
    base_url: HttpUrl
    """The server; prompts, harmful ones too, are sent there."""
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """Name of the environment variable that holds the key; the key itself never stands in a recipe."""
    temperature: Decimal6 = Field(default=Decimal("0.7"), ge=0, le=2)
    """0 is greedy; candidates and second tries differ only above it."""
    max_tokens: int = Field(default=1024, ge=16, le=131072)
    """Longest text in tokens, thoughts included; one that is cut off is not used."""
    output: Output = "json_schema"
    """How drafts of questions are asked for: json_schema (the server enforces it) or json (in words)."""
    concurrency: int = Field(default=16, ge=1, le=1024)
    """Requests in flight at once; does not count as part of what is made."""
    timeout_s: int = Field(default=60, ge=1)
    """Seconds for one request; does not count as part of what is made."""
    price: Price | None = None
    """What the server charges; None: not known. Does not count as part of what is made."""


class SourceSection(BaseModel):
    """Raw text of the user's own: posts, lists, logs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    """A .txt, .jsonl or .csv file, relative to the recipe's folder."""
    kind: QuestionKind = "harmful"
    """What questions are drafted from it: harmful or borderline."""
    split: Literal["line", "paragraph"] = "line"
    """What one text of a .txt file is: a line, or what stands between blank lines."""
    field: str = "text"
    """Where a line of a .jsonl or a row of a .csv file holds its text."""
    licence: str | None = None
    """Licence of the texts, as an SPDX name where there is one; None: not known. It goes into each pair."""


class MakeSection(BaseModel):
    """What `mergescope data make` makes: pairs in `<study>/data/harmful` and `<study>/data/borderline`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of requests, examples and over-refusals."""
    language: Literal["ja", "en"] = "ja"
    """Language of what is made: ja or en."""
    writer: WriterSection
    """Drafts questions, writes safe answers and helpful ones."""
    second: WriterSection | None = None
    """Writes the answers to avoid, best a model that seldom refuses; None: no harmful pairs are made."""
    judge: OpenAIJudge | None = None
    """Ranks those answers by danger; None: the first LLM of `eval.judges`."""
    sources: tuple[SourceSection, ...] = ()
    """Raw texts that questions are drafted from, one for each text."""
    questions: tuple[Path, ...] = ()
    """JSONL files of questions that you have: `{"prompt", "kind", "meta": {...}}`, relative to the recipe's folder."""
    examples: tuple[Path, ...] = ()
    """JSONL files of triples whose chosen answers show the writer what a good one is; approved pairs are used too."""
    shots: int = Field(default=3, ge=0, le=16)
    """Examples shown with a question, at most, all of its own specific harm."""
    candidates: int = Field(default=3, ge=1, le=16)
    """Answers to avoid that the second model writes for a question; the most dangerous one is kept."""
    tries: int = Field(default=2, ge=1, le=16)
    """Responses asked for where one cannot be used: empty, in another language, a refusal, unreadable, cut off."""
    unchecked: bool = False
    """Whether answers are written to drafted questions that nobody has approved."""

    @model_validator(mode="after")
    def _can_be_done(self) -> MakeSection:
        if not self.sources and not self.questions:
            raise ValueError("questions is missing: give `sources`, `questions`, or both")
        if self.second is not None and self.candidates > 1 and self.second.temperature == 0:
            raise ValueError("candidates must be 1 where `second` has temperature 0: all would be equal")
        return self
