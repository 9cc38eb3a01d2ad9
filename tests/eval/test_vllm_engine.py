"""vLLM for real, on its CPU build; skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eval.config import EngineSection
from eval.engine import Request, Sampling, open_engine
from mergescope.ground.errors import MergescopeError

GREEDY = Sampling(0.0, 16, 1, 0, {})
INSTALLED = importlib.util.find_spec("vllm") is not None


@pytest.mark.skipif(INSTALLED, reason="vllm is installed")
def test_a_missing_extra_is_named(tiny_llama: Path) -> None:
    with pytest.raises(MergescopeError, match=r"not installed.*mergescope\[vllm\]"):
        open_engine(EngineSection(kind="vllm"), tiny_llama)


@pytest.mark.deep
@pytest.mark.skipif(not INSTALLED, reason="vllm is not installed")
def test_swapped_weights_answer_as_the_embedded_engine_does(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "VLLM_CPU_KVCACHE_SPACE", "1")
    weights = load_file(tiny_llama / "model.safetensors")
    # another model altogether, head included: it is tied, and vLLM's CPU build keeps a packed copy of it
    others = {name: tensor.flip(0) if tensor.dim() > 1 else tensor for name, tensor in weights.items()}
    requests = [Request(({"role": "user", "content": "abcあいう"[: 1 + i % 6]},), i) for i in range(8)]
    answers = []
    for kind in ("transformers", "vllm"):
        engine = open_engine(EngineSection(kind=kind, dtype="float32", device="cpu", max_model_len=64), tiny_llama)
        before = engine.generate(requests, GREEDY)
        engine.load(others.items())
        swapped = engine.generate(requests, GREEDY)
        engine.load(weights.items())
        assert engine.generate(requests, GREEDY) == before != swapped
        answers.append([answer.text for answer in (*before, *swapped)])
        engine.close()
        assert torch.get_default_dtype() == torch.float32
    assert answers[0] == answers[1]
