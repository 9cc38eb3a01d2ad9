"""The memory of a training: worked out by hand where the formula is exact, counted tensor by tensor where it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trainer.memory import Way, layer_bytes, memory_of
from trainer.shapes import PUBLISHED, Shape, published_shape, shape_of

LLM_JP = "llm-jp/llm-jp-3-13b-instruct2"
ALONE = Way(half=True, rank=None, four_bit=False, checkpointing=True, processes=1, sharding="none")
P = 13_707_924_480


def big() -> Shape:
    shape = published_shape(LLM_JP)
    assert shape is not None
    return shape


def test_a_published_shape_has_the_published_number_of_parameters() -> None:
    """2 x 99,584 x 5,120 + 40 x (4 x 5,120^2 + 3 x 5,120 x 13,824 + 2 x 5,120) + 5,120, as the model's card says."""
    assert big().parameters == P
    assert big().linear == 40 * (4 * 5120**2 + 3 * 5120 * 13824)
    assert big().adapter(16) == 16 * 40 * (4 * 2 * 5120 + 3 * (5120 + 13824))
    assert published_shape("llm-jp/llm-jp-3-13b@abc") == big()
    assert published_shape("llm-jp/llm-jp-4-1b") is None


def test_a_shape_is_read_from_the_config_of_real_models(base: Any) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base)
    shape = shape_of(config.to_dict())
    assert shape is not None
    assert shape.parameters == sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    grouped = {
        **PUBLISHED["llm-jp/llm-jp-3-13b"],
        "num_key_value_heads": 8,
        "head_dim": 64,
        "tie_word_embeddings": True,
    }
    assert shape_of({"text_config": grouped}) == replace(big(), queries=2560, keys=512, tied=True)
    assert shape_of({"hidden_size": 8}) is None


@pytest.mark.parametrize(
    ("changes", "weights", "gradients", "optimizer"),
    [
        ({}, 6 * P, 4 * P, 8 * P),
        ({"half": False}, 4 * P, 4 * P, 8 * P),
        ({"processes": 8}, 6 * P, 8 * P, 8 * P),
        ({"processes": 8, "sharding": "optimizer"}, 2.5 * P, 4 * P, P),
        ({"processes": 8, "sharding": "gradients"}, 2.5 * P, P / 2, P),
        ({"processes": 8, "sharding": "all"}, P / 2 + 2 * 2 * 99584 * 5120, P / 2, P),
    ],
)
def test_what_a_gpu_holds_of_all_weights(
    changes: dict[str, Any], weights: float, gradients: float, optimizer: float
) -> None:
    memory = memory_of(big(), P, replace(ALONE, **changes), 8192)
    assert (memory.weights, memory.gradients, memory.optimizer) == (weights, gradients, optimizer)


def test_what_a_gpu_holds_of_an_adapter() -> None:
    shape = big()
    trained = shape.adapter(16)
    plain = memory_of(shape, P, replace(ALONE, rank=16), 8192)
    assert plain.weights == 2 * P + 6 * trained
    assert (plain.gradients, plain.optimizer) == (4 * trained, 8 * trained)
    four_bits = memory_of(shape, P, replace(ALONE, rank=16, four_bit=True), 8192)
    assert four_bits.weights == round(2 * (P - shape.linear) + shape.linear * 4.127 / 8 + 6 * trained)
    assert four_bits.weights < plain.weights / 3


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("sizes", [(128, 344, 4, 4), (256, 1024, 4, 4), (256, 688, 8, 2)], ids=str)
@pytest.mark.deep
def test_a_layer_keeps_what_the_formula_says(sizes: tuple[int, int, int, int], half: bool) -> None:
    """Bytes of all tensors that transformers' Llama saves: the difference between four layers and two."""
    width, inner, heads, keys = sizes
    tokens = 512
    found = (_saved(sizes, 4, tokens, half) - _saved(sizes, 2, tokens, half)) / 2 / tokens
    shape = Shape(2, width, inner, width, width // heads * keys, 64, tied=False)
    assert layer_bytes(shape, half=half) == pytest.approx(found, rel=0.01)


@pytest.mark.deep
def test_checkpointing_keeps_the_stream_alone() -> None:
    sizes, tokens = (256, 688, 4, 4), 512
    found = (_saved(sizes, 4, tokens, True, True) - _saved(sizes, 2, tokens, True, True)) / 2
    assert found == pytest.approx(4 * tokens * 256)


def _saved(sizes: tuple[int, int, int, int], layers: int, tokens: int, half: bool, checkpointing: bool = False) -> int:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    width, inner, heads, keys = sizes
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=width,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=keys,
            attn_implementation="sdpa",
            use_cache=False,
        )
    ).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    weights = {tuple(p.shape)[::step] for p in model.parameters() for step in (1, -1) if p.dim() == 2}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tuple(tensor.shape) not in weights:  # of these, the formula counts copies apart
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    saving = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with saving, torch.autocast("cpu", torch.bfloat16, enabled=half):
        model.model(torch.zeros(2, tokens // 2, dtype=torch.long))
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
