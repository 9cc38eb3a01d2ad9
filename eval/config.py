"""The `eval:` section of a recipe."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    field_validator,
    model_validator,
)

from eval.chat.place import host_of
from eval.shortlist import ShortlistSection
from mergescope.ground.ids import decimal6

Decimal6 = Annotated[Decimal, BeforeValidator(decimal6)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What names of prompt sets and checkpoints look like."""
CURRENCY = r"^[A-Z]{3}$"
"""What codes of currencies look like."""
RESERVED = ("base", "model-safe", "model-useful", "merges")
"""Names of a study's own checkpoints."""
IMPORTS = "imported"
"""What `mergescope eval --only` calls all imported checkpoints."""


def _free(name: str) -> str:
    if name in RESERVED:
        raise ValueError("the name of the study's own checkpoints; give another")
    if name == IMPORTS:
        raise ValueError("what `--only` calls imported checkpoints; give another")
    return name


CheckpointName = Annotated[str, Field(pattern=NAME), AfterValidator(_free)]
FormatName = Literal[
    "mergescope",
    "xstest",
    "aisev",
    "do-not-answer",
    "mt-bench",
    "answercarefully",
    "answercarefully-borderline",
    "llm-jp-judge",
    "self-instruct",
    "jcommonsenseqa",
]
"""Whose form a file of prompts has; `eval/formats/` reads each."""
GivenKind = Literal["harmful", "jailbreak", "borderline", "benign"]
"""Kinds that a recipe can give to a file whose format does not say them."""


class PromptSetFile(BaseModel):
    """One file of prompts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=NAME)
    """The set's name on the dashboard."""
    path: Path
    """CSV, JSONL, JSON or Parquet, relative to the recipe's folder."""
    format: FormatName = "mergescope"
    """Whose form the file has: mergescope (our own) or that of a published set; see docs/prompts.md."""
    kind: GivenKind | None = None
    """Kind of all its prompts; needed for llm-jp-judge, possible for aisev, said by every other format."""
    references: Path | None = None
    """MT-Bench's file of reference answers, relative to the recipe's folder; None: those in the questions alone."""
    limit: int | None = Field(default=None, ge=1)
    """Take so many groups, drawn by the study's seed; a larger limit holds the smaller one. None takes all."""
    licence: str = "unknown"
    """Licence of the prompts and references, as an SPDX name where there is one; unknown: the format's own, if any."""
    redistributable: bool = False
    """Whether texts of this set may leave with a shared copy of the results."""
    wrappers: tuple[str, ...] = ()
    """Jailbreak wrappers, by name: each harmful prompt is asked once more in each of them, as kind jailbreak."""

    @model_validator(mode="after")
    def _fits_its_format(self) -> Self:
        if self.redistributable and self.format.startswith("answercarefully"):
            raise ValueError("redistributable must be left out: AnswerCarefully may not be passed on")
        if self.references is not None and self.format != "mt-bench":
            raise ValueError("references must be left out: only `format: mt-bench` has such a file")
        if self.kind is not None and self.format not in ("aisev", "llm-jp-judge"):
            raise ValueError(f"kind must be left out: `format: {self.format}` says it")
        if self.kind is None and self.format == "llm-jp-judge":
            raise ValueError("format llm-jp-judge does not say what kind its prompts are; set `kind`")
        return self


class SamplingSection(BaseModel):
    """What changes a generated text, besides weights and prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: Decimal6 = Field(default=Decimal(0), ge=0, le=10)
    """0 is greedy."""
    max_tokens: int = Field(default=256, ge=1, le=131072)
    """Longest answer in tokens; longer ones are cut and marked."""
    samples: int = Field(default=1, ge=1, le=100)
    """Answers per prompt and checkpoint; more than 1 needs a temperature above 0."""


class EngineSection(BaseModel):
    """What answers the prompts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["transformers", "vllm"] = "transformers"
    """transformers (built in, CPU or GPU) or vllm (extra `vllm`; for 1B and more)."""
    dtype: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Numbers that the engine computes in."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N; does not count as part of an answer's identity."""
    batch_size: int = Field(default=64, ge=1)
    """Prompts answered at once by the transformers engine; does not count as part of an answer's identity."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Longest prompt and answer together, in tokens (vllm); None takes the model's own limit."""
    tensor_parallel: int = Field(default=1, ge=1, le=64)
    """GPUs that each layer is split over, with a process each (vllm); sums then run in another order, so it counts."""

    @model_validator(mode="after")
    def _only_vllm_splits_a_model(self) -> EngineSection:
        if self.tensor_parallel > 1 and self.kind != "vllm":
            raise ValueError("tensor_parallel must be 1: only `kind: vllm` splits a model")
        return self


class ProxyJudge(BaseModel):
    """Refusal classifier and formulas, no LLM. Always labelled proxy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["proxy"]
    language: Literal["ja", "en"] = "ja"
    """Language of the answers."""


Output = Literal["json_schema", "json"]
"""How a judge is asked for a verdict: by a schema that its server enforces, or by words alone."""


class Price(BaseModel):
    """What a judge's server charges; does not count as part of a judgement's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: Decimal6 = Field(ge=0)
    """For a million prompt tokens."""
    completion: Decimal6 = Field(ge=0)
    """For a million completion tokens."""
    currency: str = Field(default="USD", pattern=CURRENCY)
    """Of both, by its code in ISO 4217."""


class OpenAIJudge(BaseModel):
    """An LLM behind an OpenAI-compatible server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["openai"]
    model: str
    """Model name that the server is asked for."""
    base_url: HttpUrl = HttpUrl("https://api.openai.com/v1")
    """The server; harmful prompts and answers are sent there."""
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """Name of the environment variable that holds the key; the key itself never stands in a recipe."""
    language: Literal["ja", "en"] = "ja"
    """Language of the rubric."""
    temperature: Decimal6 = Field(default=Decimal(0), ge=0, le=2)
    """0 for the most repeatable judgements."""
    output: Output = "json_schema"
    """json_schema (a server that refuses it is asked as with json, and the judgement says so) or json."""
    max_tokens: int = Field(default=2048, ge=64, le=131072)
    """Longest verdict in tokens, thoughts included: one that is cut off is unscored (parse). Raise it for judges that
    think at length."""
    repeats: int = Field(default=1, ge=1, le=25)
    """Judgements per answer; the median counts."""
    concurrency: int = Field(default=16, ge=1, le=1024)
    """Requests in flight at once; does not count as part of a judgement's identity."""
    timeout_s: int = Field(default=60, ge=1)
    """Seconds for one request; does not count as part of a judgement's identity."""
    price: Price | None = None
    """What the server charges; None: not known. Does not count as part of a judgement's identity."""
    batch: bool = False
    """Whether questions go as files that the server works off within a day (OpenAI's batch mode, at half the price);
    does not count as part of a judgement's identity."""


Judge = Annotated[ProxyJudge | OpenAIJudge, Field(discriminator="kind")]


class ModelCheckpoint(BaseModel):
    """A model beside the merges, answered through an engine of its own with its own tokenizer and chat template."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["model"]
    name: CheckpointName
    """Its name in tables, and for `mergescope eval --only`."""
    model: str
    """A folder (relative to the recipe's) or a Hugging Face id."""


class ServedCheckpoint(BaseModel):
    """A model behind an OpenAI-compatible server, as a reference point."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["served"]
    name: CheckpointName
    """Its name in tables, and for `mergescope eval --only`."""
    model: str
    """Model name that the server is asked for."""
    base_url: HttpUrl
    """The server; prompts, harmful ones too, are sent there."""
    api_key_env: str = Field(default="OPENAI_API_KEY", pattern=r"^[A-Z][A-Z0-9_]*$")
    """Name of the environment variable that holds the key; the key itself never stands in a recipe."""
    concurrency: int = Field(default=16, ge=1, le=1024)
    """Most requests in flight at once; does not count as part of an answer's identity."""
    timeout_s: int = Field(default=60, ge=1)
    """Seconds for one request; does not count as part of an answer's identity."""


Checkpoint = Annotated[ModelCheckpoint | ServedCheckpoint, Field(discriminator="kind")]


class PairwiseSection(BaseModel):
    """Whose answers judges hold against whose, two at a time."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    baseline: str
    """What the others are held against: base, model-safe, model-useful, or a name of `eval.checkpoints`."""
    checkpoints: tuple[str, ...] = Field(default=("merges",), min_length=1)
    """What is held against it: such names, merges (all of them), or a merge's label such as `r 0.45`."""

    @field_validator("checkpoints", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class EvalSection(BaseModel):
    """Which prompts every checkpoint answers, with what engine, and who judges."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sets: tuple[PromptSetFile, ...] = Field(min_length=1)
    """Prompt sets; names differ."""
    engine: EngineSection = EngineSection()
    sampling: SamplingSection = SamplingSection()
    checkpoints: tuple[Checkpoint, ...] = ()
    """Models that answer and are judged beside the merges and their three models, such as candidate bases."""
    judges: tuple[Judge, ...] = Field(min_length=1)
    """The first one feeds the frontier; the others are compared with it."""
    pairwise: PairwiseSection | None = None
    """Win rates against a baseline, by every judge of kind openai; None: answers are judged one by one alone."""
    confirm_share: Decimal6 = Field(default=Decimal("0.3"), ge=0, lt=1)
    """Share of groups kept apart from picking, to confirm the pick."""
    shortlist: ShortlistSection | None = None
    """Ratios that are looked at more closely; None: all are asked alike."""

    def samples_at(self, ratio: Decimal) -> int:
        """Answers per prompt of the merges at a ratio."""
        listed = self._listed(ratio)
        return self.sampling.samples if listed is None or listed.samples is None else listed.samples

    def judge_repeats_at(self, ratio: Decimal) -> int:
        """Judgements of an answer at a ratio by judges that ask a server, unless their own `repeats` is more."""
        listed = self._listed(ratio)
        return 1 if listed is None else listed.judge_repeats

    def _listed(self, ratio: Decimal) -> ShortlistSection | None:
        return self.shortlist if self.shortlist is not None and ratio in self.shortlist.points else None

    @model_validator(mode="after")
    def _samples_can_differ(self) -> Self:
        samples = None if self.shortlist is None else self.shortlist.samples
        if samples is not None and samples < self.sampling.samples:
            raise ValueError("shortlist.samples must be at least `eval.sampling.samples`")
        if samples is not None and samples > 1 and self.sampling.temperature == 0:
            raise ValueError(
                "shortlist.samples must be 1 or left out: at `eval.sampling.temperature` 0 all samples are the same"
            )
        return self

    @model_validator(mode="after")
    def _served_models_differ(self) -> Self:
        served: dict[tuple[str, str], str] = {}
        for one in self.checkpoints:
            if one.kind == "served":
                first = served.setdefault((host_of(str(one.base_url)), one.model), one.name)
                if first != one.name:
                    raise ValueError(f"checkpoints must differ: {first} and {one.name} are one model of one server")
        return self

    @model_validator(mode="after")
    def _names_differ(self) -> EvalSection:
        names = [checkpoint.name for checkpoint in self.checkpoints]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two of `eval.checkpoints` are called {twice}; rename one")
        return self

    @model_validator(mode="after")
    def _pairs_can_be_judged(self) -> EvalSection:
        if self.pairwise is None:
            return self
        if all(judge.kind != "openai" for judge in self.judges):
            raise ValueError("pairwise needs a judge that compares answers; add one of `kind: openai`")
        names = [name for name in RESERVED if name != "merges"] + [checkpoint.name for checkpoint in self.checkpoints]
        if self.pairwise.baseline not in names:
            raise ValueError(
                f"pairwise.baseline is no such checkpoint: {self.pairwise.baseline}; use {', '.join(names)}"
            )
        return self
