"""The `world:` and `train:` sections of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter, model_validator


class WorldSection(BaseModel):
    """Makes the demo's data files in `<study>/world/` before anything else. Real studies leave it out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of phrasings and shuffles."""
    selfalign: bool = False
    """Whether the corpus also teaches the base to take part in self-alignment; the seed annotations are then made."""


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


class LoraSection(BaseModel):
    """Trains low-rank factors beside all linear layers (Hu et al. 2021); they are merged in at the end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=16, ge=1)
    """Rank of the factors."""
    alpha: float = Field(default=32, gt=0)
    """Their product counts alpha / rank times."""
    four_bit: bool = False
    """QLoRA (Dettmers et al. 2023): the frozen weights in 4 bits (NF4). Wants a CUDA GPU and bitsandbytes."""


class EarlyStopSection(BaseModel):
    """Keeps some triples apart, and takes the weights under which their loss is least."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the triples that are not trained on, 0 to 1, picked by a seeded hash of the prompt."""
    every: int = Field(default=10, ge=1)
    """Steps between two looks at their loss; each look keeps a checkpoint."""
    patience: int = Field(default=3, ge=1)
    """Looks without a lower loss after which the training ends."""


class TuningSection(BaseModel):
    """What every method of tuning a base asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    triples: tuple[Path, ...] = Field(min_length=1)
    """JSONL files of triples and folders of made pairs (`<study>/data/<set>`), relative to the recipe's folder; all are
    trained on, of made pairs the approved ones."""
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
    max_length: int = Field(default=1024, ge=16)
    """Longest prompt and answer together, in tokens; longer triples stop the run."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """What a GPU computes in; weights and optimizer stay in float32, and so does all of it on a CPU."""
    gradient_checkpointing: bool = False
    """Less memory for about a third more time."""
    lora: LoraSection | None = None
    """Trains low-rank factors alone; None trains all weights."""
    early_stop: EarlyStopSection | None = None
    """Ends where held-out triples get no likelier; None trains all triples to the end."""
    save_every: int = Field(default=50, ge=1)
    """Steps between two checkpoints, from which a killed training goes on; with early_stop, each look keeps one."""

    @model_validator(mode="after")
    def _one_length(self) -> TuningSection:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        if self.micro_batch_size is not None and self.batch_size % self.micro_batch_size:
            raise ValueError("batch_size must be a multiple of micro_batch_size")
        return self


class DpoSection(TuningSection):
    """Direct preference optimisation (Rafailov et al. 2023) through TRL, with an SFT term on the chosen side."""

    method: Literal["dpo"] = "dpo"
    """What the section is about."""
    beta: float = Field(default=0.1, gt=0)
    """Strength of the pull towards the base."""
    sft_weight: float = Field(default=0.0, ge=0)
    """Weight of the likelihood of the chosen answer beside the DPO loss; 0 leaves it out."""


class DualSection(TuningSection):
    """PT-ALIGN-style dual tuning (arXiv 2502.08657): likelihood of the chosen answer, unlikelihood of toxic tokens."""

    method: Literal["dual"]
    """What the section is about."""
    mode: Literal["ratio", "uniform", "mask", "none"] = "ratio"
    """Which tokens of the rejected answer are made unlikely: those that the base gives mainly under the toxic
    constraint (ratio), all (uniform), those that the chosen answer does not hold (mask), or none: likelihood alone."""
    unlikelihood_weight: float = Field(default=1.0, gt=0)
    """Weight of the unlikelihood beside the likelihood."""
    threshold: float = Field(default=1.1, ge=1)
    """In mode ratio: how many times likelier than without the constraint a token must be to count as toxic."""
    gradient_bound: float = Field(default=1000.0, gt=0, le=1e5)
    """Largest gradient of a token's unlikelihood with respect to its log-probability."""
    toxic_constraint: str | None = None
    """System message that asks for toxic answers, in mode ratio; a triple's own comes first. None: triples have it."""


def _method(section: Any) -> str:
    named = section.get("method") if isinstance(section, dict) else getattr(section, "method", None)
    return "dual" if named == "dual" else "dpo"


Tuning = Annotated[Annotated[DpoSection, Tag("dpo")] | Annotated[DualSection, Tag("dual")], Discriminator(_method)]
"""A method and its settings; `method` may be left out for DPO."""


def tuning_of(raw: dict[str, Any]) -> TuningSection:
    """A method's settings from their JSON form."""
    section: TuningSection = TypeAdapter(Tuning).validate_python(raw)
    return section


class TrainSection(BaseModel):
    """How model-safe and model-useful are made from the base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of initial weights and data order."""
    accelerate: Path | None = None
    """File of `accelerate config`, relative to the recipe's folder: how many processes and GPUs tune, and how FSDP or
    DeepSpeed shards the model. None: one process."""
    pretrain: PretrainSection | None = None
    """Makes the base from scratch (the demo); None where `models.base` names one."""
    unreviewed: bool = False
    """Also train on made pairs that nobody has reviewed yet; else on approved ones alone. Never on dropped ones."""
    safe: Tuning
    """Makes model-safe."""
    useful: Tuning
    """Makes model-useful."""
    allow_overlap: bool = False
    """Train although prompts are those of an evaluation set, or nearly, whose scores then say little; else it stops."""
