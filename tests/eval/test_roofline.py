"""The roofline of a sweep: numbers worked out by hand."""

from __future__ import annotations

import pytest

from eval.roofline import (
    GPUS,
    OVERHEAD_BYTES,
    Gpu,
    Questions,
    Served,
    Share,
    cache_bytes_per_token,
    engine_share,
    gpus_per_model,
    least_memory,
    parse_gpus,
    sweep_on,
    usable_bytes,
)
from mergescope.ground.errors import MergescopeError

LLM_JP_13B = {"num_hidden_layers": 40, "hidden_size": 5120, "num_attention_heads": 40, "num_key_value_heads": 40}
BIG = Served(parameters=13_700_000_000, weights=27_400_000_000, cache=819_200, longest=4096)
PLAIN = Gpu("plain", memory=100 * 10**9, bandwidth=1e12, flops=100e12, link=10e9)
FULL = Share(flops=1, bandwidth=1, link=1, batch=100)


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("A100-40GB", "A100-40GB", 1),
        ("A100-40GB x4", "A100-40GB", 4),
        ("a100 40gb×8", "A100-40GB", 8),
        ("RTX 4090x2", "RTX 4090", 2),
        ("rtx4090", "RTX 4090", 1),
        (" L4 x 16 ", "L4", 16),
    ],
)
def test_gpus_as_people_write_them(text: str, name: str, count: int) -> None:
    assert parse_gpus(text) == (GPUS[name], count)


@pytest.mark.parametrize("text", ["", "A100", "x4", "A100-40GB x0", "A100-40GB x65", "A100-40GB 4", "H100-80GB x-1"])
def test_gpus_that_are_unknown_are_named(text: str) -> None:
    with pytest.raises(MergescopeError, match=r"--gpu: no GPU that is known here \(got .*A100-40GB, A100-80GB"):
        parse_gpus(text)


def test_cache_of_a_token() -> None:
    # key and value, 40 layers, 40 heads of 128, 2 bytes
    assert cache_bytes_per_token(LLM_JP_13B, "bfloat16") == 2 * 40 * 40 * 128 * 2
    # grouped heads, a width of its own, float32
    grouped = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 1}
    assert cache_bytes_per_token({**grouped, "head_dim": 32}, "float32") == 2 * 2 * 1 * 32 * 4
    assert cache_bytes_per_token({"n_layer": 2, "n_embd": 64, "n_head": 4}, "float16") == 2 * 2 * 4 * 16 * 2
    assert cache_bytes_per_token({"hidden_size": 64}, "bfloat16") is None


def test_gpus_that_one_model_needs() -> None:
    # 27.4 + 4096 x 0.0008192 = 30.8 GB; a GPU of 40 offers 34, one of 24 offers 19.6
    assert usable_bytes(GPUS["A100-40GB"]) == pytest.approx(34e9)
    assert gpus_per_model(BIG, GPUS["A100-40GB"]) == 1
    assert gpus_per_model(BIG, GPUS["RTX 4090"]) == 2
    huge = Served(parameters=10**12, weights=2 * 10**12, cache=0, longest=1)
    assert gpus_per_model(huge, GPUS["L4"]) is None
    assert least_memory(BIG) == pytest.approx((30.7554e9 + OVERHEAD_BYTES) / 0.9, rel=1e-4)


def test_a_sweep_by_hand() -> None:
    served = Served(parameters=10**10, weights=20 * 10**9, cache=10**6, longest=1000)
    asked = Questions(checkpoints=5, merges=2, answers=1000, prompt_tokens=100, answer_tokens=200)
    sweep = sweep_on(served, asked, PLAIN, 1, FULL, blend_s=3)
    assert sweep is not None
    # usable: 100 x 0.9 - 2 = 88 GB; 68 GB beside the weights hold 226 sequences of 300 tokens; the engine takes 100
    assert sweep.batch == 100
    assert sweep.prefill_s == pytest.approx(1000 * 100 * 2e10 / 100e12)  # 20 s
    # a step reads 20 GB of weights and 100 x 200 x 1 MB of cache: 0.04 s; 10 batches of 200 steps
    assert sweep.decode_s == pytest.approx(10 * 200 * 0.04)  # 80 s
    assert sweep.swap_s == pytest.approx(20 / 10 + 3)
    assert sweep.hours * 3600 == pytest.approx(5 * (20 + 80 + 2) + 2 * 3)


def test_engines_share_the_checkpoints() -> None:
    served = Served(parameters=10**10, weights=20 * 10**9, cache=10**6, longest=1000)
    asked = Questions(checkpoints=5, merges=2, answers=1000, prompt_tokens=100, answer_tokens=200)
    two = sweep_on(served, asked, PLAIN, 2, FULL, blend_s=3)
    many = sweep_on(served, asked, PLAIN, 64, FULL, blend_s=3)
    assert two is not None
    assert many is not None
    assert two.hours * 3600 == pytest.approx(3 * 102 + 1 * 3)  # the slower one has three of the five
    assert (many.engines, many.hours * 3600) == (5, pytest.approx(102 + 3))


def test_large_batches_are_bound_by_flops() -> None:
    served = Served(parameters=10**10, weights=2 * 10**9, cache=0, longest=1)
    asked = Questions(checkpoints=1, merges=1, answers=1000, prompt_tokens=1, answer_tokens=10)
    sweep = sweep_on(served, asked, PLAIN, 1, Share(flops=1, bandwidth=1, link=1, batch=1000), blend_s=0)
    assert sweep is not None
    # 1,000 tokens cost 2e13 flops, 0.2 s a step, where 2 GB of weights take 0.002 s
    assert sweep.decode_s == pytest.approx(10 * 0.2)


def test_a_model_over_several_gpus() -> None:
    asked = Questions(checkpoints=4, merges=4, answers=100, prompt_tokens=10, answer_tokens=10)
    assert sweep_on(BIG, asked, GPUS["RTX 4090"], 1, engine_share("vllm", 1), 0) is None
    split = sweep_on(BIG, asked, GPUS["RTX 4090"], 4, engine_share("vllm", 1), 0)
    assert split is not None
    assert (split.gpus, split.engines) == (4, 2)
    wide = sweep_on(BIG, asked, GPUS["RTX 4090"], 4, engine_share("vllm", 1), 0, split=4)
    assert wide is not None
    assert (wide.gpus, wide.engines) == (4, 1)
    assert wide.decode_s < split.decode_s  # four GPUs read the weights in half the time of two
    assert sweep_on(BIG, asked, GPUS["A100-40GB"], 2, engine_share("vllm", 1), 0, split=4) is None
    # three GPUs of 19.6 GB hold it, though the least power of two is what the plan names
    three = sweep_on(BIG, asked, GPUS["RTX 4090"], 3, engine_share("vllm", 1), 0, split=3)
    assert three is not None
    assert three.engines == 1


def test_transformers_takes_the_recipe_s_batch() -> None:
    assert engine_share("transformers", 17).batch == 17
    assert engine_share("vllm", 17).batch == 256
