"""The `world:` and `train:` sections of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class WorldSection(BaseModel):
    """Makes the demo's data files in `<study>/world/` before anything else. Real studies leave it out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of phrasings and shuffles."""


class PretrainSection(BaseModel):
    """Trains a small Llama from scratch into `<study>/base`. Real studies leave it out and name a base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: Path
    """JSONL of `{"text": ...}` or `{"messages": [...]}`, relative to the recipe's folder."""
    hidden_size: int = Field(default=128, ge=16)
    """Width of the residual stream."""
    layers: int = Field(default=4, ge=1)
    """Decoder layers."""
    heads: int = Field(default=4, ge=1)
    """Attention heads; divides hidden_size."""
    vocab_size: int = Field(default=2048, ge=64)
    """Largest size of the tokenizer made from the corpus."""
    steps: int = Field(ge=1)
    """Optimizer steps."""
    batch_size: int = Field(default=64, ge=1)
    """Sequences a step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    """Peak of the cosine schedule."""


class DpoSection(BaseModel):
    """Direct preference optimisation (Rafailov et al. 2023) through TRL, with an SFT term on the chosen side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    triples: tuple[Path, ...] = Field(min_length=1)
    """JSONL files of triples, relative to the recipe's folder; all are trained on."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the triples; give this or steps."""
    steps: int | None = Field(default=None, ge=1)
    """Optimizer steps; give this or epochs."""
    batch_size: int = Field(default=32, ge=1)
    """Triples an optimizer step, over all devices."""
    micro_batch_size: int | None = Field(default=None, ge=1)
    """Triples a forward pass and device; the rest of batch_size is accumulated. None: the whole batch at once."""
    learning_rate: float = Field(default=9e-7, gt=0)
    """Peak learning rate."""
    beta: float = Field(default=0.1, gt=0)
    """Strength of the pull towards the base."""
    sft_weight: float = Field(default=0.0, ge=0)
    """Weight of the likelihood of the chosen answer beside the DPO loss; 0 leaves it out."""
    max_length: int = Field(default=1024, ge=16)
    """Longest prompt and answer together, in tokens; longer triples stop the run."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """What a GPU computes in; weights and optimizer stay in float32, and so does all of it on a CPU."""
    gradient_checkpointing: bool = False
    """Less memory for about a third more time."""

    @model_validator(mode="after")
    def _one_length(self) -> DpoSection:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ValueError("batch_size must be a multiple of micro_batch_size")
        return self


class TrainSection(BaseModel):
    """How model-safe and model-useful are made from the base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of initial weights and data order."""
    pretrain: PretrainSection | None = None
    """Makes the base from scratch (the demo); None where `models.base` names one."""
    safe: DpoSection
    """Makes model-safe."""
    useful: DpoSection
    """Makes model-useful."""
