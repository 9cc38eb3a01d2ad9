"""The embedded engine: transformers on CPU or GPU, batched by length, weights swapped in place."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from eval.engine import TOO_LONG, Answer, Likelihood, Request, Sampling, Swap, Weights
from eval.engines.layout import Layout
from eval.engines.likelihood import log_likelihoods
from eval.engines.roomy_cache import roomy_cache
from eval.engines.swap_hash import SwapHash
from eval.engines.texts import chat_tokens, plain_tokens
from mergescope.ground.errors import CheckpointError, MergescopeError

In = TypeVar("In")
Out = TypeVar("Out")
PROBE = 1024
"""Elements of each tensor that are read back after a swap."""
CROWDED = 0.75
"""Share of a batch still answering below which the finished rows are dropped from the cache."""


class TransformersEngine:
    """Greedy or seeded sampling with a KV cache; answers depend on weights and request, not on the batch.

    In fp32 on CPU a greedy answer is the same alone and in any batch (tested): padding is masked, and what is left
    are rounding differences that would have to fall on a tie of two tokens. In half precision such ties happen.
    """

    def __init__(self, folder: Path, dtype: str, device: str, batch_size: int, *, may_run_code: bool = False) -> None:
        """Read model and tokenizer from `folder` (safetensors only).

        dtype: torch's name. device: auto takes the first GPU, else the CPU. may_run_code: whether code in the folder
        may run. Raises CheckpointError where the folder cannot be read or its tokenizer has no chat template.
        """
        self._device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        try:
            self._tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=may_run_code)
            self._model: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=getattr(torch, dtype), use_safetensors=True, trust_remote_code=may_run_code
            )
        except (OSError, ValueError, KeyError) as error:
            line = (str(error).splitlines() or [""])[0]
            raise CheckpointError(f"not a readable checkpoint: {line}", where=folder) from None
        if self._tokenizer.chat_template is None:
            raise CheckpointError("the tokenizer has no chat template", where=folder, cure="add chat_template.jinja")
        self._model.to(self._device).eval().requires_grad_(False)
        self._context: int | None = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self._stops = _stop_tokens(self._model, self._tokenizer)
        self._layout = Layout(self._model, folder)
        self._folder = folder
        self._chunk = batch_size

    @property
    def places(self) -> Mapping[str, torch.Tensor]:
        """All weights on a CPU, so that a swap goes over memory once; none on a GPU, where merges come from outside."""
        return self._model.state_dict() if self._device.type == "cpu" else {}

    def load(self, weights: Weights) -> Swap:
        """Copy every tensor over the present one, unless it is that one, and read a part of it back.

        Raises CheckpointError where a name is unknown or a shape differs, where a tensor is left unswapped, or where
        tied tensors come with different values. Tied tensors may come under one name or all; a mixture's experts one
        by one or together.
        """
        places: dict[str, torch.Tensor] = self._model.state_dict()
        unswapped = {tensor.data_ptr() for tensor in places.values()}
        probes: dict[int, tuple[str, torch.Tensor]] = {}
        hashed = SwapHash()
        for name, tensor in self._layout.as_own(hashed.noted(weights(self.places))):
            place = places.get(name)
            if place is None:
                raise CheckpointError("the model has no such tensor", where=self._folder, value=name)
            if place.shape != tensor.shape:
                shapes = f"{tuple(tensor.shape)}, the model's is {tuple(place.shape)}"
                raise CheckpointError(f"tensor {name} has shape {shapes}", where=self._folder)
            if tensor.data_ptr() != place.data_ptr():
                place.copy_(tensor)
            probe = tensor.flatten()[:PROBE].to(place.device, place.dtype, copy=True)
            _check_probe(probes.get(place.data_ptr(), (name, probe)), probe)
            probes[place.data_ptr()] = name, probe
            unswapped.discard(place.data_ptr())
        if unswapped:
            missing = next(name for name, tensor in places.items() if tensor.data_ptr() in unswapped)
            raise CheckpointError("a tensor was left unswapped", where=self._folder, value=missing)
        for name, probe in probes.values():
            _check_probe((name, places[name].flatten()[:PROBE]), probe)
        return hashed.swap()

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def generate(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[int, Answer]]:
        """Batch after batch, prompts of like length together; a batch that does not fit into memory is halved.

        Raises MergescopeError where one prompt alone does not fit into memory, CheckpointError where the chat
        template refuses a conversation.
        """
        encoded = [chat_tokens(self._tokenizer, request.messages, self._folder) for request in requests]
        longest = (self._context or sys.maxsize) - sampling.max_tokens
        yield from ((i, TOO_LONG) for i, ids in enumerate(encoded) if len(ids) > longest)
        for batch in self._batches([i for i, ids in enumerate(encoded) if len(ids) <= longest], encoded):
            given = _halving(
                lambda some: self._decode([encoded[i] for i in some], [requests[i].seed for i in some], sampling), batch
            )
            yield from zip(batch, given, strict=True)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def log_likelihoods(self, texts: Sequence[str]) -> list[Likelihood]:
        """In the order of the texts; a batch that does not fit into memory is halved, as in `generate`."""
        encoded = [plain_tokens(self._tokenizer, text) for text in texts]
        found = [Likelihood(0.0, 0, "too_short" if len(ids) < 2 else "too_long") for ids in encoded]
        # as long as vLLM takes: it insists on a token of its own behind the text
        asked = [i for i, ids in enumerate(encoded) if 2 <= len(ids) < (self._context or sys.maxsize)]
        for batch in self._batches(asked, encoded):
            sums = _halving(lambda some: log_likelihoods(self._model, [encoded[i] for i in some], self._device), batch)
            for i, value in zip(batch, sums, strict=True):
                found[i] = Likelihood(value, len(encoded[i]) - 1)
        return found

    def close(self) -> None:
        """Drop the model."""
        del self._model
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _batches(self, places: Sequence[int], encoded: Sequence[list[int]]) -> list[list[int]]:
        """The places of texts of like length together, so that little is padded."""
        by_length = sorted(places, key=lambda i: len(encoded[i]))
        return [by_length[start : start + self._chunk] for start in range(0, len(by_length), self._chunk)]

    def _decode(self, batch: list[list[int]], seeds: list[int], sampling: Sampling) -> list[Answer]:
        draws = [torch.Generator(self._device).manual_seed(seed) for seed in seeds]
        width = max(len(ids) for ids in batch)
        ids = torch.tensor([[0] * (width - len(row)) + row for row in batch], device=self._device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch], device=self._device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        rows = list(range(len(batch)))
        given: list[list[int]] = [[] for _ in batch]
        cache = roomy_cache(self._model.config)
        for _ in range(sampling.max_tokens):
            logits = self._model(
                ids, attention_mask=mask, position_ids=positions, past_key_values=cache, logits_to_keep=1
            ).logits[:, -1]
            chosen = _choose(logits, [draws[row] for row in rows], sampling.temperature)
            keep = self._note(chosen.tolist(), rows, given)
            if not keep:
                break
            ids, mask = chosen[:, None], torch.nn.functional.pad(mask, (0, 1), value=1)
            positions = positions[:, -1:] + 1
            if len(keep) <= CROWDED * len(rows):
                kept = torch.tensor(keep, device=self._device)
                cache.batch_select_indices(kept)
                ids, mask, positions = ids[kept], mask[kept], positions[kept]
                rows = [rows[i] for i in keep]
        return [self._answer(tokens) for tokens in given]

    def _note(self, chosen: list[int], rows: list[int], given: list[list[int]]) -> list[int]:
        """Append each row's token unless the row has ended; returns places of rows that go on."""
        goes_on = []
        for place, (row, token) in enumerate(zip(rows, chosen, strict=True)):
            if given[row] and given[row][-1] in self._stops:
                continue
            given[row].append(token)
            if token not in self._stops:
                goes_on.append(place)
        return goes_on

    def _answer(self, tokens: list[int]) -> Answer:
        ended = bool(tokens) and tokens[-1] in self._stops
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return Answer(text, "stop" if ended else "length", len(tokens))


def _halving(work: Callable[[Sequence[In]], list[Out]], batch: Sequence[In]) -> list[Out]:
    """What `work` makes of a batch, by halves where memory runs out.

    Raises MergescopeError where a single one does not fit.
    """
    try:
        return work(batch)
    except RuntimeError as error:  # torch.OutOfMemoryError on GPU; a plain RuntimeError on CPU
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
    if len(batch) == 1:
        raise MergescopeError(
            "the engine is out of memory with a single prompt",
            where="eval.engine",
            cure="use a smaller max_tokens or dtype, or another device",
        )
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    half = len(batch) // 2
    return [*_halving(work, batch[:half]), *_halving(work, batch[half:])]


def _choose(logits: torch.Tensor, draws: list[torch.Generator], temperature: float) -> torch.Tensor:
    """The next token of each row: the likeliest, or a draw by each row's own generator (exponential race)."""
    if temperature == 0:
        return logits.argmax(dim=-1)
    chances = torch.softmax(logits.float() / temperature, dim=-1)
    race = [torch.empty_like(row).exponential_(generator=draw) for row, draw in zip(chances, draws, strict=True)]
    return (chances / torch.stack(race)).argmax(dim=-1)


def _check_probe(known: tuple[str, torch.Tensor], probe: torch.Tensor) -> None:
    name, there = known
    if not torch.equal(there, probe):
        raise CheckpointError("a swapped tensor reads back differently, or tied tensors differ", value=name)


def _stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    configured = model.generation_config.eos_token_id
    listed = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)
