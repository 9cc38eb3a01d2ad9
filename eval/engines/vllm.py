"""vLLM as the engine: one in-process engine on one device for the whole sweep, weights swapped in place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eval.engine import Answer, Request, Sampling
from eval.engines.layout import layout_of
from eval.engines.readback import ReadBack
from mergescope.ground.errors import CheckpointError, MergescopeError

if TYPE_CHECKING:
    import torch

CHUNK = 1024
"""Requests handed over at once; vLLM batches them by itself."""


class VllmEngine:
    """Answers through vLLM's own scheduler; near ties may fall otherwise than in another batch or another run."""

    def __init__(self, folder: Path, dtype: str, max_model_len: int | None, *, may_run_code: bool = False) -> None:
        """Start the engine on `folder`. Raises MergescopeError where the extra `vllm` is not installed.

        may_run_code: whether code in the folder may run.
        """
        # in-process: an iterator of tensors cannot be sent to another process
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("DO_NOT_TRACK", "1")
        try:
            from vllm import LLM
        except ImportError:
            cure = "run `make .venv/vllm` in the project's folder"
            raise MergescopeError("the vllm engine is not installed", where="eval.engine.kind", cure=cure) from None
        self._layout = layout_of(folder, may_run_code=may_run_code)
        self._llm: Any = LLM(
            model=str(folder),
            dtype=dtype,
            max_model_len=max_model_len,
            seed=0,
            trust_remote_code=may_run_code,
            enable_prefix_caching=False,  # cached prefixes would outlive the weights that made them
            disable_log_stats=True,
        )
        self._tokenizer: Any = self._llm.get_tokenizer()
        if self._tokenizer.chat_template is None:
            raise CheckpointError("the tokenizer has no chat template", where=folder, cure="add chat_template.jinja")
        self._context = int(self._llm.llm_engine.model_config.max_model_len)

    @property
    def chunk(self) -> int:
        """Enough to keep the scheduler busy."""
        return CHUNK

    @property
    def places(self) -> Mapping[str, torch.Tensor]:
        """None: vLLM keeps weights in forms of its own."""
        return {}

    def load(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Stream all weights in, and read a part of them back from every layer that can be asked.

        Raises CheckpointError where a name is unknown, a shape differs, a tensor is left unswapped, or a layer
        computes with other values afterwards. Tied tensors may come under one name or both; a mixture's experts one
        by one or together.
        """
        read_back = ReadBack(self._layout.tied)
        refusals: list[CheckpointError] = []

        def streamed() -> Iterator[tuple[str, torch.Tensor]]:
            try:
                yield from read_back.noted(self._layout.as_stored(weights))
            except CheckpointError as refusal:
                refusals.append(refusal)  # raised below: a reload that vLLM does not finish spoils every later one

        self._llm.apply_model(_forget_packed_experts)
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": streamed()})
        self._llm.apply_model(_repack_tied_head)
        self._llm.reset_prefix_cache()
        if refusals:
            raise refusals[0]
        self._llm.apply_model(read_back.check)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Answer]:
        """Answers in the order of the requests."""
        from vllm import SamplingParams

        encoded = [self._encode(request) for request in requests]
        fits = [i for i, ids in enumerate(encoded) if len(ids) + sampling.max_tokens <= self._context]
        settings = [
            SamplingParams(temperature=sampling.temperature, max_tokens=sampling.max_tokens, seed=requests[i].seed)
            for i in fits
        ]
        prompts = [{"prompt_token_ids": encoded[i]} for i in fits]
        outputs = self._llm.generate(prompts, settings, use_tqdm=False) if fits else []
        answers = [Answer("", "length", 0, "too_long")] * len(requests)
        for i, output in zip(fits, outputs, strict=True):
            text = output.outputs[0]
            cut = text.finish_reason == "length"
            answers[i] = Answer(text.text, "length" if cut else "stop", len(text.token_ids))
        return answers

    def close(self) -> None:
        """Shut the engine down."""
        del self._llm

    def _encode(self, request: Request) -> list[int]:
        text = self._tokenizer.apply_chat_template(
            [dict(m) for m in request.messages], add_generation_prompt=True, tokenize=False
        )
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def _forget_packed_experts(model: Any) -> None:
    """Have the coming reload pack a mixture's experts as the first load did.

    vLLM's CPU build pads and packs experts only where no kernel is set up yet. A reload copies them plain over the
    packed ones: it fails where padding makes the shapes differ, and is silently wrong elsewhere.
    """
    from vllm.model_executor.layers.fused_moe.unquantized_fused_moe_method import UnquantizedFusedMoEMethod
    from vllm.platforms import current_platform

    for module in model.modules() if current_platform.is_cpu() else ():
        if isinstance(getattr(module, "quant_method", None), UnquantizedFusedMoEMethod):
            module.quant_method.moe_kernel = None


def _repack_tied_head(model: Any) -> None:
    """Make a tied output head anew from the embeddings just streamed.

    vLLM's CPU build multiplies by a packed copy of the head. A reload packs anew every layer that has a tensor of its
    own, and a tied head has none: it would go on with the weights that the engine was started with.
    """
    if getattr(model.config, "tie_word_embeddings", False) and hasattr(model, "lm_head"):
        model.lm_head.weight = model.model.embed_tokens.weight
        model.lm_head.quant_method.process_weights_after_loading(model.lm_head)
