"""vLLM for real, on its CPU build or a GPU; skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eval.config import EngineSection
from eval.engine import PASSING, Answer, Engine, Request, Sampling, open_engine
from eval.engines.readback import ReadBack
from eval.engines.vllm import _answer
from mergescope.ground.errors import CheckpointError, MergescopeError
from tests.eval.given import Given, answered, picky

GREEDY = Sampling(0.0, 16, 1, 0, {})
REQUESTS = [Request(({"role": "user", "content": "abcあいう"[: 1 + i % 6]},), i) for i in range(8)]
INSTALLED = importlib.util.find_spec("vllm") is not None
NORM = "model.layers.1.input_layernorm.weight"
UP = "model.layers.0.mlp.up_proj.weight"
EMBEDDING = "model.embed_tokens.weight"
Tensors = dict[str, torch.Tensor]


@pytest.mark.skipif(INSTALLED, reason="vllm is installed")
def test_a_missing_extra_is_named(tiny_llama: Path) -> None:
    with pytest.raises(MergescopeError, match=r"not installed.*make \.venv/vllm"):
        open_engine(EngineSection(kind="vllm"), tiny_llama)


@pytest.mark.parametrize("reason", ["abort", "error", "repetition", None])
def test_an_answer_that_the_engine_broke_off_is_none(reason: str | None) -> None:
    output = SimpleNamespace(text="half an ans", finish_reason=reason, token_ids=[1, 2, 3])
    assert _answer(output) == Answer("", "stop", 3, "engine")
    assert "engine" in PASSING


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
def weights(tiny_llama: Path) -> Tensors:
    return load_file(tiny_llama / "model.safetensors")


@pytest.fixture
def others(weights: Tensors) -> Tensors:
    """Another model altogether, head included: it is tied, and vLLM's CPU build keeps a packed copy of it."""
    return {name: tensor.flip(0) if tensor.dim() > 1 else tensor for name, tensor in weights.items()}


def there_and_back(engine: Engine, weights: Tensors, others: Tensors) -> list[Answer]:
    engine.load(Given(weights))
    before = answered(engine, REQUESTS, GREEDY)
    engine.load(Given(others))
    swapped = answered(engine, REQUESTS, GREEDY)
    engine.load(Given(weights))
    assert answered(engine, REQUESTS, GREEDY) == before != swapped
    return [*before, *swapped]


@pytest.mark.deep
@pytest.mark.vllm
@pytest.mark.skipif(not INSTALLED, reason="vllm is not installed; `make test-deep` does it where it runs")
class TestSwaps:
    def test_answers_are_those_of_the_embedded_engine(
        self, engine: Engine, weights: Tensors, others: Tensors, tiny_llama: Path
    ) -> None:
        ours = there_and_back(opened("transformers", tiny_llama), weights, others)
        assert there_and_back(engine, weights, others) == ours
        assert torch.get_default_dtype() == torch.float32

    @pytest.mark.parametrize("name", [NORM, UP, EMBEDDING])
    def test_a_tensor_left_out_is_named(self, engine: Engine, weights: Tensors, others: Tensors, name: str) -> None:
        with pytest.raises(CheckpointError, match=rf"left unswapped.*{name}"):
            engine.load(Given({other: tensor for other, tensor in weights.items() if other != name}))
        there_and_back(engine, weights, others)  # a swap that was refused spoils no later one

    def test_unknown_and_misshapen_tensors_are_named(self, engine: Engine, weights: Tensors, others: Tensors) -> None:
        with pytest.raises(CheckpointError, match=r"no such tensor.*model\.extra"):
            engine.load(Given({**weights, "model.extra": torch.zeros(1)}))
        with pytest.raises(CheckpointError, match=r"model\.norm\.weight has shape \(3,\), the model's is \(64,\)"):
            engine.load(Given({**weights, "model.norm.weight": torch.zeros(3)}))
        there_and_back(engine, weights, others)

    def test_tied_tensors_must_agree(self, engine: Engine, weights: Tensors) -> None:
        engine.load(Given({**weights, "lm_head.weight": weights[EMBEDDING]}))
        with pytest.raises(CheckpointError, match="reads back differently"):
            engine.load(Given({**weights, "lm_head.weight": weights[EMBEDDING] + 1}))

    @pytest.mark.parametrize("name", [NORM, UP, EMBEDDING])
    def test_a_tensor_that_changed_afterwards_is_named(self, engine: Any, weights: Tensors, name: str) -> None:
        read_back = ReadBack({"lm_head.weight": EMBEDDING})
        engine.load(lambda _: read_back.noted(weights.items()))
        engine._llm.apply_model(read_back.check)
        engine.load(Given({**weights, name: weights[name] + 1}))
        with pytest.raises(CheckpointError, match=rf"reads back differently.*{name}"):
            engine._llm.apply_model(read_back.check)

    def test_a_head_that_stayed_behind_is_noticed(
        self, engine: Engine, weights: Tensors, others: Tensors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine.load(Given(weights))
        monkeypatch.setattr("eval.engines.vllm_worker._repack_tied_head", lambda _: None)
        with pytest.raises(CheckpointError, match=rf"reads back differently.*{EMBEDDING}"):
            engine.load(Given(others))

    def test_likelihoods_are_those_of_the_embedded_engine(
        self, engine: Engine, weights: Tensors, tiny_llama: Path
    ) -> None:
        engine.load(Given(weights))
        texts = ["abc", "あいう!? abc", "a", "", "zz" * 20, "x" * 62, "x" * 63]
        ours = opened("transformers", tiny_llama).log_likelihoods(texts)
        theirs = engine.log_likelihoods(texts)
        assert [(one.tokens, one.error_kind) for one in theirs] == [(one.tokens, one.error_kind) for one in ours]
        for one, other in zip(theirs, ours, strict=True):
            assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-3)

    def test_a_swap_is_known_as_in_the_embedded_engine(
        self, engine: Engine, weights: Tensors, others: Tensors, tiny_llama: Path
    ) -> None:
        ours = opened("transformers", tiny_llama)
        for given in (weights, others):
            assert engine.load(Given(given)) == ours.load(Given(given))
        assert engine.load(Given(weights)) != engine.load(Given(others))

    def test_a_conversation_that_the_template_refuses(
        self, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        engine = opened("vllm", picky(tiny_llama, tmp_path))
        turns = ({"role": "system", "content": "a"}, {"role": "user", "content": "b"})
        with pytest.raises(CheckpointError, match=r"picky: the chat template refuses a prompt: no system here"):
            answered(engine, [Request(turns, 0)], GREEDY)
        engine.close()


@pytest.mark.deep
@pytest.mark.vllm
@pytest.mark.skipif(not INSTALLED, reason="vllm is not installed; `make test-deep` does it where it runs")
class TestRefusals:
    """What vLLM refuses at its start is one line with a cure."""

    def test_a_cache_that_does_not_fit(self, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        folder = changed_config(tiny_llama, tmp_path, max_position_embeddings=1 << 22)  # 1 KiB a token: 4 GiB
        section = EngineSection(kind="vllm", dtype="float32")
        with pytest.raises(
            MergescopeError, match=r"^eval\.engine: vLLM does not start: .*larger than.*KV cache memory.*max_model_len"
        ):
            open_engine(section, folder)

    def test_heads_that_do_not_split(self, tiny_llama: Path) -> None:
        section = EngineSection(kind="vllm", dtype="float32", tensor_parallel=3)
        with pytest.raises(MergescopeError, match=r"does not start: Total number of attention heads \(2\).*divides"):
            open_engine(section, tiny_llama)

    @pytest.mark.skipif(
        len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) != 1, reason="each worker has a node of its own"
    )
    def test_workers_that_are_not_told_their_cores(self, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "auto")
        section = EngineSection(kind="vllm", dtype="float32", tensor_parallel=2)
        with pytest.raises(MergescopeError, match=r"does not start: .*NUMA nodes.*set VLLM_CPU_OMP_THREADS_BIND"):
            open_engine(section, tiny_llama)

    def test_an_architecture_that_it_does_not_know(self, tiny_llama: Path, tmp_path: Path) -> None:
        folder = changed_config(tiny_llama, tmp_path, architectures=["NobodyForCausalLM"], model_type="nobody")
        with pytest.raises(MergescopeError, match=r"does not start: .*nobody.*take kind: transformers"):
            open_engine(EngineSection(kind="vllm", dtype="float32"), folder)


def changed_config(model: Path, room: Path, **changes: object) -> Path:
    """A copy of a model whose configuration says something else."""
    folder = room / "changed"
    shutil.copytree(model, folder)
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
    return folder
