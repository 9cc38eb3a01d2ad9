"""What an engine is: weights in, answers out. The engines themselves stand in `eval/engines/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from eval.config import EngineSection, SamplingSection
from eval.identity import Message, sampling_id
from merge.identity import TOKENIZER_FILES, chat_template, text_side
from mergescope.ground.errors import CheckpointError
from mergescope.ground.ids import text_hash

if TYPE_CHECKING:
    import torch


AnswerError = Literal["too_long", "too_short", "not_finite", "engine", "filter", "timeout", "server", "rejected"]
"""too_long: prompt and answer do not fit into the model's context, so it was not asked. too_short: a text without a
token to predict. not_finite: a likelihood that is no number, as of broken weights. engine: it broke the answer off. The
others come from servers: a content filter took it, it took too long, the server failed again and again, or would not
take the request."""
PASSING: frozenset[AnswerError] = frozenset({"engine", "timeout", "server", "rejected"})
"""Errors that another run may not meet: it asks again."""
PASSING_SERVED: frozenset[AnswerError] = PASSING | {"too_long"}
"""The same for a served model, whose context may be longer the next time."""


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to be given."""

    messages: tuple[Message, ...]
    """The conversation up to the user's turn."""
    seed: int
    """Seed of its sampling; the same for every checkpoint, so that answers differ by weights alone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request."""

    text: str
    """Without special tokens; empty where there is an error."""
    finish_reason: Literal["stop", "length"]
    """stop: the model ended it; length: cut at max_tokens."""
    tokens: int
    """Generated tokens, the closing one included."""
    error_kind: AnswerError | None = None
    """Why there is no answer; None: answered."""


TOO_LONG = Answer("", "length", 0, "too_long")


@dataclass(frozen=True, slots=True)
class Likelihood:
    """How likely a model holds one text."""

    log_likelihood: float
    """Natural logarithm, summed over the predicted tokens; 0 where there is an error."""
    tokens: int
    """Predicted tokens: all but the first, which is the tokenizer's own BOS where it has one."""
    error_kind: AnswerError | None = None
    """Why there is none; None: measured."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Weights as they went into an engine."""

    sha256: str
    """Over names, dtypes, shapes and bytes of all tensors, as `merge.tensor_bytes.entries_hash` counts."""
    tensors: int
    bytes: int


class Weights(Protocol):
    """All weights of one checkpoint. Picklable, so that an engine's workers can be given it."""

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        """Every tensor by its name in the checkpoint. places: tensors that may be filled instead of new ones."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How texts are drawn from a model."""

    temperature: float
    """0 is greedy."""
    max_tokens: int
    """Longest answer in tokens."""
    samples: int
    """Answers per prompt and checkpoint."""
    seed: int
    """The study's; each request's own seed comes from it."""
    setting: Mapping[str, object]
    """All that changes a text besides weights and prompt, as the store keeps it."""

    @property
    def sampling_id(self) -> str:
        """Content id of the setting."""
        return sampling_id(self.setting)


class Engine(Protocol):
    """A model that stays up while its weights change."""

    @property
    def places(self) -> Mapping[str, torch.Tensor]:
        """Its own weights by name, as far as a merge may fill them directly; empty where they must be handed over."""

    def load(self, weights: Weights) -> Swap:
        """Swap in all weights; what was streamed is hashed on the way.

        Raises CheckpointError naming a tensor that is missing, unknown, misshapen, or did not arrive.
        """

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
        """Each request's place and its answer, as soon as it is there, in any order."""

    def log_likelihoods(self, texts: Sequence[str]) -> list[Likelihood]:
        """Likelihoods of plain texts, after the tokenizer's own BOS if it has one and without a chat template."""

    def close(self) -> None:
        """Free the device; the engine is of no use afterwards."""


def template_of(*folders: Path) -> str:
    """The chat template of a model, or of an adapter and its base, of which the first that has one counts.

    Raises CheckpointError, naming the first folder, where none of them has a tokenizer or a chat template.
    """
    if not any((folder / name).is_file() for folder in folders for name in TOKENIZER_FILES):
        raise CheckpointError("holds no tokenizer", where=folders[0], cure="copy the tokenizer of its base there")
    template = next((found for folder in folders if (found := chat_template(folder)) is not None), None)
    if template is None:
        cure = "copy chat_template.jinja from model-useful or the base, or write the one that the model was tuned with"
        raise CheckpointError("no chat template", where=folders[0], cure=cure)
    return template


def sampling_of(section: SamplingSection, engine: EngineSection, folder: Path, seed: int) -> Sampling:
    """The recipe's sampling for an engine that is opened on `folder`. `seed` is the study's.

    Whichever weights the engine holds, its configuration, tokenizer and chat template are those of `folder`. A
    greedy answer does not depend on the seed, so that neither does its identity. Raises CheckpointError where the
    folder has no tokenizer or no chat template.
    """
    greedy = section.temperature == 0
    template = template_of(folder)
    setting: dict[str, object] = {
        "template": text_hash(template),
        "text_side": text_side(folder),
        "temperature": section.temperature,
        "max_tokens": section.max_tokens,
        "engine": engine.kind,
        "dtype": engine.dtype,
        "seed": None if greedy else seed,
        **_by_vllm(engine),
    }
    return Sampling(float(section.temperature), section.max_tokens, section.samples, seed, _plain(setting))


def _by_vllm(engine: EngineSection) -> dict[str, object]:
    """What of vLLM's settings changes a text; only what is not usual, so that usual answers keep their identity."""
    if engine.kind != "vllm":
        return {}
    split = {"tensor_parallel": engine.tensor_parallel} if engine.tensor_parallel > 1 else {}
    return {"max_model_len": engine.max_model_len, **split}


def open_engine(section: EngineSection, folder: Path, *, may_run_code: bool = False) -> Engine:
    """The recipe's engine on the model whose configuration, tokenizer and chat template lie in `folder`.

    Its first weights are whatever `folder` holds; `load` before asking. may_run_code: whether code in `folder` may
    run (`merge.trust_remote_code`). Raises MergescopeError where the extra is not installed, CheckpointError where the
    folder cannot be read.
    """
    match section.kind:
        case "transformers":
            from eval.engines.hf import TransformersEngine

            return TransformersEngine(
                folder, section.dtype, section.device, section.batch_size, may_run_code=may_run_code
            )
        case "vllm":
            from eval.engines.vllm import VllmEngine

            return VllmEngine(
                folder, section.dtype, section.max_model_len, section.tensor_parallel, may_run_code=may_run_code
            )


def _plain(setting: Mapping[str, object]) -> dict[str, object]:
    return {key: str(value) if isinstance(value, Decimal) else value for key, value in setting.items()}
