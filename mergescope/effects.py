"""Which keys of a recipe change what a study makes, and which only say where, how fast or under what name."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from mergescope.ground.ids import full_hash
from mergescope.study import Recipe

NO_EFFECT = frozenset(
    {
        "study",  # a name
        "models.base",  # where a model lies; its weights count, by their hashes
        "models.safe",
        "models.useful",
        "models.licence",  # words for the model card
        *(
            f"models.origin.{role}.{key}"
            for role in ("base", "safe", "useful")
            for key in ("source", "licence", "made_by")
        ),
        "train.pretrain.corpus",  # where data lie; their contents count
        "train.safe.triples",
        "train.useful.triples",
        "train.unreviewed",  # which pairs count; the pairs themselves do
        "train.allow_overlap",  # whether to train at all; the triples themselves count
        "train.safe.gradient_checkpointing",  # computes the same numbers twice
        "train.useful.gradient_checkpointing",
        "train.safe.save_every",  # how much a kill costs
        "train.useful.save_every",
        "train.accelerate",  # on how many GPUs, and how they share the model
        "data.selfalign.seeds",  # where data lie; their contents count
        "data.selfalign.licence",  # words for the model card
        "data.selfalign.engine.device",  # how fast
        "data.selfalign.engine.batch_size",
        *(f"data.selfalign.served.{key}" for key in ("api_key_env", "concurrency", "timeout_s")),
        *(f"data.selfalign.filter.judge.{key}" for key in ("api_key_env", "concurrency", "timeout_s", "batch")),
        *(
            f"data.selfalign.{server}.price.{key}"
            for server in ("served", "filter.judge")
            for key in ("prompt", "completion", "currency")
        ),
        "data.retention_days",  # how long toxic texts are kept
        "merge.trust_remote_code",  # whether code may run; the code itself counts, by its hash
        "merge.device",  # how fast; the bits are the same
        "eval.sets.path",  # where data lie; their contents count
        "eval.sets.references",
        "eval.engine.device",  # how fast
        "eval.engine.batch_size",
        "eval.checkpoints.api_key_env",  # who pays
        "eval.checkpoints.concurrency",
        "eval.checkpoints.timeout_s",
        "eval.judges.api_key_env",
        "eval.judges.concurrency",
        "eval.judges.timeout_s",
        "eval.judges.price.prompt",  # what it costs
        "eval.judges.price.completion",
        "eval.judges.price.currency",
        "eval.judges.batch",  # how soon and at what price
        "data.make.sources.path",  # where data lie; their contents count
        "data.make.questions",
        "data.make.examples",
        "data.make.judge.batch",
        *(
            f"data.make.{server}.{key}"
            for server in ("writer", "second", "judge")
            for key in ("api_key_env", "concurrency", "timeout_s")  # who pays, how fast
        ),
        *(
            f"data.make.{server}.price.{key}"
            for server in ("writer", "second", "judge")
            for key in ("prompt", "completion", "currency")
        ),
    }
)
"""Keys that change no answer, score or weight: editing them repeats no work."""

EFFECT = frozenset(
    {
        "seed",
        "world.seed",
        "world.selfalign",
        "train.seed",
        *(
            f"train.pretrain.{key}"
            for key in ("hidden_size", "layers", "heads", "vocab_size", "steps", "batch_size", "learning_rate")
        ),
        *(
            f"train.{model}.{key}"
            for model in ("safe", "useful")
            for key in (
                "epochs",
                "steps",
                "batch_size",
                "micro_batch_size",  # sums in another order
                "learning_rate",
                "method",
                "beta",
                "sft_weight",
                "mode",
                "unlikelihood_weight",
                "threshold",
                "gradient_bound",
                "toxic_constraint",
                "max_length",
                "dtype",
                "lora.rank",
                "lora.alpha",
                "lora.four_bit",
                "early_stop.held_out",
                "early_stop.every",
                "early_stop.patience",
            )
        ),
        *(
            f"data.selfalign.{key}"
            for key in (
                "language",
                "positive_constraint",
                "toxic_constraint",
                "refine",
                "probe",
                "pairs",
                "rounds",
                "domains",
                "topics",
                "instructions",
                "examples",
                "duplicate",
                "novelty",
                "temperature",
                "answer_temperature",
                "list_tokens",
                "answer_tokens",
                "filter.by",
                "filter.gap",
                "seed",
            )
        ),
        *(f"data.selfalign.engine.{key}" for key in ("kind", "dtype", "max_model_len", "tensor_parallel")),
        *(f"data.selfalign.served.{key}" for key in ("kind", "name", "model", "base_url")),
        *(
            f"data.selfalign.filter.judge.{key}"
            for key in ("kind", "model", "base_url", "language", "temperature", "max_tokens", "output", "repeats")
        ),
        "merge.method",
        "merge.mode",
        "merge.ratios",
        "merge.ratios.start",
        "merge.ratios.stop",
        "merge.ratios.steps",
        "merge.density_safe",
        "merge.density_useful",
        "merge.lambda",
        "merge.mask_seeds",
        "merge.threads",  # the scales' last bits depend on it
        "merge.normalize",
        "merge.rescale",
        "merge.int8_mask",
        "merge.gradient",
        "eval.sets.name",
        "eval.sets.format",
        "eval.sets.kind",
        "eval.sets.limit",
        "eval.sets.licence",
        "eval.sets.redistributable",
        "eval.sets.wrappers",
        "eval.engine.kind",
        "eval.engine.dtype",
        "eval.engine.max_model_len",  # longer prompts are not answered
        "eval.engine.tensor_parallel",  # sums in another order: near ties fall otherwise
        "eval.sampling.temperature",
        "eval.sampling.max_tokens",
        "eval.sampling.samples",
        "eval.checkpoints.kind",
        "eval.checkpoints.name",
        "eval.checkpoints.model",
        "eval.checkpoints.base_url",
        "eval.judges.kind",
        "eval.judges.model",
        "eval.judges.base_url",
        "eval.judges.language",
        "eval.judges.temperature",
        "eval.judges.max_tokens",  # a verdict that is cut off is unscored
        "eval.judges.output",
        "eval.judges.repeats",
        "eval.pairwise.baseline",
        "eval.pairwise.checkpoints",
        "eval.confirm_share",
        *(f"eval.shortlist.{key}" for key in ("points", "mask_seeds", "samples", "judge_repeats")),
        *(f"data.make.{key}" for key in ("seed", "language", "shots", "candidates", "tries", "unchecked")),
        *(f"data.make.sources.{key}" for key in ("kind", "split", "field", "licence")),
        *(
            f"data.make.{server}.{key}"
            for server in ("writer", "second")
            for key in ("model", "base_url", "temperature", "max_tokens", "output")
        ),
        *(
            f"data.make.judge.{key}"
            for key in ("kind", "model", "base_url", "language", "temperature", "max_tokens", "output", "repeats")
        ),
    }
)
"""Keys that are part of what is made: editing them makes new work, and only that."""


_IDLE = NO_EFFECT | {
    "eval.judges.price",
    *(f"data.selfalign.{server}.price" for server in ("served", "filter.judge")),
    *(f"data.make.{server}.price" for server in ("writer", "second", "judge")),
}
"""With sections of which no key counts and which a recipe may leave out: an absent one is as a given one."""


_LATER = frozenset(
    {
        "eval.shortlist",
        "data",
        *(f"train.{model}.{key}" for model in ("safe", "useful") for key in ("lora", "early_stop")),
    }
)
"""Sections without which a recipe is what it was before there were such ones."""


def recipe_hash(recipe: Recipe) -> str:
    """sha256 over what of a recipe changes its output."""
    return full_hash(_without(recipe.model_dump(mode="json", by_alias=True), ""))


def recipe_keys(model: type[BaseModel] = Recipe, prefix: str = "") -> Iterator[str]:
    """The path of every key that a recipe can hold; list indices are left out."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        sections = list(_sections(field.annotation))
        for section in sections:
            yield from recipe_keys(section, f"{path}.")
        if not sections or _takes_plain_values(field.annotation):
            yield path


def _without(value: Any, path: str) -> Any:
    if isinstance(value, list):
        return [_without(entry, path) for entry in value]
    if not isinstance(value, dict):
        return value
    inner = {key: f"{path}.{key}" if path else key for key in value}
    return {
        key: _without(entry, inner[key])
        for key, entry in value.items()
        if inner[key] not in _IDLE and not (entry is None and inner[key] in _LATER)
    }


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    """The recipe sections that a field's type mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _sections(part)


def _takes_plain_values(annotation: Any) -> bool:
    """Whether a field that takes a section also takes a list of plain values, as `merge.ratios` does."""
    if get_origin(annotation) is Annotated:
        return _takes_plain_values(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return any(get_origin(part) is tuple and not list(_sections(part)) for part in get_args(annotation))
    return False
