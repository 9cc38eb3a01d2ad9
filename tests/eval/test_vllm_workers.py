"""vLLM with two workers that share each layer: each makes its own stream, keeps its share, and is checked by itself."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from eval.config import EngineSection
from eval.engine import Request, Sampling, open_engine
from eval.engines.readback import ReadBack
from eval.engines.vllm_worker import _share
from mergescope.ground.errors import CheckpointError, MergescopeError
from tests.eval.given import Given
from tests.eval.vllm_workers import two_workers
from tests.tokenizers import character_tokenizer

pytestmark = [
    pytest.mark.deep,
    pytest.mark.vllm,
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None, reason="vllm is not installed; `make test-deep` does it where it runs"
    ),
]
GREEDY = Sampling(0.0, 16, 1, 0, {})
REQUESTS = [Request(({"role": "user", "content": "abcdefgh"[i % 5 : 3 + i % 6]},), i) for i in range(12)]
ATTENTION = "model.layers.0.self_attn"
NAMES = [
    f"{ATTENTION}.q_proj.weight",  # rows are split
    f"{ATTENTION}.k_proj.weight",  # one head for two workers: both hold it
    f"{ATTENTION}.v_proj.bias",
    f"{ATTENTION}.o_proj.weight",  # columns are split
    "model.layers.1.mlp.up_proj.weight",
    "model.layers.1.mlp.down_proj.weight",
    "model.layers.1.input_layernorm.weight",  # whole in each
    "model.embed_tokens.weight",  # the vocabulary is split
    "lm_head.weight",
]
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Uneven:
    """Weights of which one worker is given others."""

    tensors: Mapping[str, torch.Tensor]
    rank: int
    name: str
    tensor: torch.Tensor | None
    """In the place of the right one; None leaves it out."""

    def __call__(self, places: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:  # noqa: ARG002
        for name, tensor in self.tensors.items():
            if name != self.name or torch.distributed.get_rank() != self.rank:
                yield name, tensor
            elif self.tensor is not None:
                yield name, self.tensor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Qwen 2 whose head is its own, with biases, one head of keys, and a vocabulary that does not halve evenly."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("qwen2")
    tokenizer = character_tokenizer([chr(c) for c in range(0x20, 0x7F)])
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=1,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    for parameter in model.parameters():
        parameter.data.mul_(8).add_(torch.randn(parameter.shape) * 0.01)  # biases start at 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as environment:
        two_workers(environment)
        section = EngineSection(kind="vllm", dtype="float32", max_model_len=64, tensor_parallel=2)
        try:
            engine = open_engine(section, folder)
        except MergescopeError as refusal:
            pytest.skip(f"vLLM does not start two workers here: {refusal}")
        yield engine
        engine.close()


@pytest.fixture
def weights(folder: Path) -> Tensors:
    return load_file(folder / "model.safetensors")


def test_swaps_and_likelihoods_are_those_of_the_embedded_engine(engine: Any, weights: Tensors, folder: Path) -> None:
    ours = open_engine(EngineSection(dtype="float32", device="cpu"), folder)
    others = {name: tensor.flip(0) if tensor.dim() > 1 else tensor for name, tensor in weights.items()}
    first = engine.generate(REQUESTS, GREEDY)
    for given in (others, weights):
        assert engine.load(Given(given)) == ours.load(Given(given))
        answers = engine.generate(REQUESTS, GREEDY)
        assert answers == ours.generate(REQUESTS, GREEDY)
        texts = ["abc", "hello world", ""]
        for one, other in zip(engine.log_likelihoods(texts), ours.log_likelihoods(texts), strict=True):
            assert one.tokens == other.tokens
            assert one.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-3)
        assert (answers == first) == (given is weights)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_tensor_that_one_worker_lacks_is_named(engine: Any, weights: Tensors, rank: int) -> None:
    with pytest.raises(CheckpointError, match=rf"left unswapped.*{NAMES[0]}"):
        engine.load(Uneven(weights, rank, NAMES[0], None))
    engine.load(Given(weights))


def test_workers_with_different_weights_are_noticed(engine: Any, weights: Tensors) -> None:
    with pytest.raises(CheckpointError, match="workers were given different weights"):
        engine.load(Uneven(weights, 1, NAMES[0], weights[NAMES[0]] + 1))
    engine.load(Given(weights))


def changed_in_one(worker: Any, tensors: Tensors, name: str, rank: int) -> str | None:
    """Runs in each worker: what the check says after one of them got another tensor behind its back."""
    read_back = ReadBack({}, *_share())
    worker.reload_weights(weights_iterator=read_back.noted(iter(tensors.items())))
    read_back.check(worker.get_model())
    if torch.distributed.get_rank() == rank:
        worker.reload_weights(weights_iterator=iter({**tensors, name: tensors[name] + 1}.items()))
    try:
        read_back.check(worker.get_model())
    except CheckpointError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_that_changed_in_one_worker_is_named(engine: Any, weights: Tensors, name: str) -> None:
    for rank in (0, 1):
        found = engine._llm.collective_rpc(changed_in_one, args=(weights, name, rank))
        assert found[1 - rank] is None
        assert name in found[rank]
