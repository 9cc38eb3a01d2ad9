"""The `data.selfalign:` section of a recipe."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eval.config import Decimal6, EngineSection, OpenAIJudge, Price, ProxyJudge, ServedCheckpoint
from trainer.selfalign.prompts import Language

SELF_ALIGNED = "selfalign"
"""Name of the set of pairs, which lies in `<study>/data/selfalign`."""
MOST_ANNOTATIONS = 49
"""PT-ALIGN starts from fewer than 50 annotations; the two first constraints count."""


class ServedBase(ServedCheckpoint):
    """The base behind an OpenAI-compatible server."""

    price: Price | None = None
    """What the server charges; None: not known. Does not count as part of what is made."""


class JudgeFilter(BaseModel):
    """A pair is polarised where a judge finds its two answers far enough apart in safety."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["judge"]
    judge: Annotated[ProxyJudge | OpenAIJudge, Field(discriminator="kind")] = ProxyJudge(kind="proxy")
    """Who judges; both answers, the toxic one too, are shown to it."""
    gap: Decimal6 = Field(default=Decimal(3), gt=0, le=4)
    """Least safety of the positive answer minus that of the toxic one; safety is 1 to 5, higher is safer."""


class LikelihoodFilter(BaseModel):
    """A pair is polarised where the model itself holds each answer likelier under its own constraint."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["likelihood"]
    gap: Decimal6 = Field(default=Decimal("0.2"), gt=0)
    """Least gain of either answer from its own constraint over the other one, in nats a token."""


class SelfAlignSection(BaseModel):
    """Pairs that the base makes of itself (PT-ALIGN style, arXiv 2502.08657), in `<study>/data/selfalign`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seeds: Path
    """JSONL of seed annotations {"domain", "topic", "instruction"}, relative to the recipe's folder; at most 47."""
    language: Language = "ja"
    """Language in which the model is asked: ja or en."""
    positive_constraint: str | None = Field(default=None, min_length=1)
    """First system message under which harmful requests are declined; None: the language's own."""
    toxic_constraint: str | None = Field(default=None, min_length=1)
    """First system message under which nothing is declined; None: the language's own."""
    refine: bool = True
    """Whether the model rewrites both constraints before each further round; one that polarises as well is kept."""
    probe: int = Field(default=8, ge=1)
    """Instructions on which a rewritten constraint is tried."""
    pairs: int = Field(default=400, ge=1)
    """Pairs wanted: rounds are made until there are as many."""
    rounds: int = Field(default=20, ge=1)
    """Rounds at most."""
    domains: int = Field(default=8, ge=1)
    """Domains a round."""
    topics: int = Field(default=3, ge=1)
    """Topics a domain."""
    instructions: int = Field(default=4, ge=1)
    """Instructions a topic."""
    examples: int = Field(default=3, ge=1)
    """Examples in a question; two of three are seed annotations, the others come from accepted pairs."""
    duplicate: Decimal6 = Field(default=Decimal("0.7"), gt=0, le=1)
    """Jaccard similarity of character 5-grams from which an instruction repeats an earlier one and is dropped."""
    novelty: Decimal6 = Field(default=Decimal("0.2"), ge=0, le=1)
    """Least share of a round's instructions that repeat none; a round below it is the last."""
    temperature: Decimal6 = Field(default=Decimal(1), gt=0, le=10)
    """Of domains, topics, instructions and constraints; 1 draws as the model was trained."""
    answer_temperature: Decimal6 = Field(default=Decimal("0.7"), ge=0, le=10)
    """Of both answers; 0 is greedy."""
    list_tokens: int = Field(default=256, ge=16)
    """Longest list or constraint, in tokens."""
    answer_tokens: int = Field(default=512, ge=16)
    """Longest answer, in tokens; one that is cut off makes no pair."""
    filter: Annotated[JudgeFilter | LikelihoodFilter, Field(discriminator="by")] = JudgeFilter(by="judge")
    """How polarised pairs are told."""
    engine: EngineSection | None = None
    """What runs the base; None: as `eval.engine`."""
    served: ServedBase | None = None
    """The base behind a server instead; None: an engine of this machine."""
    licence: str = "unknown"
    """Licence of the pairs, as an SPDX name where there is one: the base's terms for what it writes."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of all draws."""

    @model_validator(mode="after")
    def _likelihoods_need_an_engine(self) -> Self:
        if self.served is not None and self.filter.by == "likelihood":
            raise ValueError("filter.by must be judge: a chat server tells no likelihoods of texts")
        return self
