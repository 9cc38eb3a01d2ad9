"""vLLM for real, on its CPU build or a GPU; skipped where it is not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eval.config import EngineSection
from eval.engine import Answer, Engine, Request, Sampling, open_engine
from eval.engines.readback import ReadBack
from mergescope.ground.errors import CheckpointError, MergescopeError
from tests.eval.given import Given

GREEDY = Sampling(0.0, 16, 1, 0, {})
REQUESTS = [Request(({"role": "user", "content": "abcあいう"[: 1 + i % 6]},), i) for i in range(8)]
INSTALLED = importlib.util.find_spec("vllm") is not None
NORM = "model.layers.1.input_layernorm.weight"
UP = "model.layers.0.mlp.up_proj.weight"
EMBEDDING = "model.embed_tokens.weight"
Weights = dict[str, torch.Tensor]


@pytest.mark.skipif(INSTALLED, reason="vllm is installed")
def test_a_missing_extra_is_named(tiny_llama: Path) -> None:
    with pytest.raises(MergescopeError, match=r"not installed.*make \.venv/vllm"):
        open_engine(EngineSection(kind="vllm"), tiny_llama)


def opened(kind: str, folder: Path) -> Engine:
    section = {"kind": kind, "dtype": "float32", "device": "cpu", "max_model_len": 64}
    return open_engine(EngineSection.model_validate(section), folder)


@pytest.fixture(scope="module")
def engine(tiny_llama: Path) -> Iterator[Any]:
    """One engine for all tests of this file."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        engine = opened("vllm", tiny_llama)
    yield engine
    engine.close()


@pytest.fixture
def weights(tiny_llama: Path) -> Weights:
    return load_file(tiny_llama / "model.safetensors")


@pytest.fixture
def others(weights: Weights) -> Weights:
    """Another model altogether, head included: it is tied, and vLLM's CPU build keeps a packed copy of it."""
    return {name: tensor.flip(0) if tensor.dim() > 1 else tensor for name, tensor in weights.items()}


def there_and_back(engine: Engine, weights: Weights, others: Weights) -> list[Answer]:
    engine.load(Given(weights))
    before = engine.generate(REQUESTS, GREEDY)
    engine.load(Given(others))
    swapped = engine.generate(REQUESTS, GREEDY)
    engine.load(Given(weights))
    assert engine.generate(REQUESTS, GREEDY) == before != swapped
    return [*before, *swapped]


@pytest.mark.deep
@pytest.mark.vllm
@pytest.mark.skipif(not INSTALLED, reason="vllm is not installed; `make test-deep` does it where it runs")
class TestSwaps:
    def test_answers_are_those_of_the_embedded_engine(
        self, engine: Engine, weights: Weights, others: Weights, tiny_llama: Path
    ) -> None:
        ours = there_and_back(opened("transformers", tiny_llama), weights, others)
        assert there_and_back(engine, weights, others) == ours
        assert torch.get_default_dtype() == torch.float32

    @pytest.mark.parametrize("name", [NORM, UP, EMBEDDING])
    def test_a_tensor_left_out_is_named(self, engine: Engine, weights: Weights, others: Weights, name: str) -> None:
        with pytest.raises(CheckpointError, match=rf"left unswapped.*{name}"):
            engine.load(Given({other: tensor for other, tensor in weights.items() if other != name}))
        there_and_back(engine, weights, others)  # a swap that was refused spoils no later one

    def test_unknown_and_misshapen_tensors_are_named(self, engine: Engine, weights: Weights, others: Weights) -> None:
        with pytest.raises(CheckpointError, match=r"no such tensor.*model\.extra"):
            engine.load(Given({**weights, "model.extra": torch.zeros(1)}))
        with pytest.raises(CheckpointError, match=r"model\.norm\.weight has shape \(3,\), the model's is \(64,\)"):
            engine.load(Given({**weights, "model.norm.weight": torch.zeros(3)}))
        there_and_back(engine, weights, others)

    def test_tied_tensors_must_agree(self, engine: Engine, weights: Weights) -> None:
        engine.load(Given({**weights, "lm_head.weight": weights[EMBEDDING]}))
        with pytest.raises(CheckpointError, match="reads back differently"):
            engine.load(Given({**weights, "lm_head.weight": weights[EMBEDDING] + 1}))

    @pytest.mark.parametrize("name", [NORM, UP, EMBEDDING])
    def test_a_tensor_that_changed_afterwards_is_named(self, engine: Any, weights: Weights, name: str) -> None:
        read_back = ReadBack({"lm_head.weight": EMBEDDING})
        engine.load(lambda _: read_back.noted(weights.items()))
        engine._llm.apply_model(read_back.check)
        engine.load(Given({**weights, name: weights[name] + 1}))
        with pytest.raises(CheckpointError, match=rf"reads back differently.*{name}"):
            engine._llm.apply_model(read_back.check)

    def test_a_head_that_stayed_behind_is_noticed(
        self, engine: Engine, weights: Weights, others: Weights, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.load(Given(weights))
        monkeypatch.setattr("eval.engines.vllm_worker._repack_tied_head", lambda _: None)
        with pytest.raises(CheckpointError, match=rf"reads back differently.*{EMBEDDING}"):
            engine.load(Given(others))
