"""How long GPUs take to answer a study's prompts, by a roofline: the least time that peak rates allow, over a share.

    prefill: 2 P flops a prompt token            (arXiv 2001.08361, section 2.1: a forward pass costs about 2 P a token)
    decode:  a step reads all weights once for the whole batch, and each sequence's key-value cache;
             B tokens cost max((W + B L k) / bandwidth, 2 P B / flops) seconds
    swap:    the merge is made on the host, then goes over the host's link

P parameters, W bytes of weights, B sequences at once, L tokens of a sequence (half of its answer on average), k bytes
of cache a token. B is what the cache has room for, at most what the engine takes. Pure functions of values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mergescope.ground.errors import MergescopeError

ITEM_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MEMORY_SHARE = 0.9
"""Share of a GPU's memory that an engine takes: vLLM's long-standing gpu_memory_utilization."""
OVERHEAD_BYTES = 2_000_000_000
"""Bytes of a GPU for CUDA's context, graphs and activations: an assumption, on the side of caution."""
MOST_GPUS = 64
"""Largest number of GPUs that can be named."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU, from its vendor's public data sheet; GB and TFLOPS are decimal, TFLOPS without sparsity."""

    name: str
    memory: int
    """Bytes."""
    bandwidth: float
    """Bytes a second of its memory."""
    flops: float
    """Dense bfloat16 operations a second."""
    link: float
    """Bytes a second from the host, one direction: PCIe 4 or 5 with 16 lanes."""


def _gpu(name: str, memory_gb: int, gb_s: int, tflops: float, link_gb_s: int) -> Gpu:
    return Gpu(name, memory_gb * 10**9, gb_s * 1e9, tflops * 1e12, link_gb_s * 1e9)


GPUS = {
    gpu.name: gpu
    for gpu in (
        _gpu("A100-40GB", 40, 1555, 312, 32),
        _gpu("A100-80GB", 80, 2039, 312, 32),
        _gpu("H100-80GB", 80, 3350, 989, 64),
        _gpu("H200", 141, 4800, 989, 64),
        _gpu("L40S", 48, 864, 362, 32),
        _gpu("RTX 4090", 24, 1008, 165, 32),
        _gpu("L4", 24, 300, 121, 32),
    )
}
"""By name. NVIDIA's data sheets of A100 (80 GB: SXM), H100 SXM, H200 SXM, L40S, L4; the Ada white paper for the 4090.
Sheets that give TFLOPS with sparsity only are halved."""


@dataclass(frozen=True, slots=True)
class Share:
    """What an engine reaches of a GPU's peak rates, 0 to 1. Assumptions, since nothing here has a GPU to measure."""

    flops: float
    bandwidth: float
    link: float
    batch: int
    """Most sequences at once."""


def engine_share(kind: str, batch_size: int) -> Share:
    """vLLM batches continuously with captured graphs, 256 sequences at most by default; transformers pads `batch_size`
    prompts and starts each kernel from Python."""
    if kind == "vllm":
        return Share(flops=0.5, bandwidth=0.6, link=0.75, batch=256)
    return Share(flops=0.3, bandwidth=0.3, link=0.4, batch=batch_size)


@dataclass(frozen=True, slots=True)
class Served:
    """A model as an engine holds it."""

    parameters: int
    weights: int
    """Bytes in the engine's dtype."""
    cache: int
    """Bytes of key-value cache a token."""
    longest: int
    """Tokens of the longest prompt and answer together, which must fit."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What every checkpoint is asked."""

    checkpoints: int
    """Merge points and references."""
    merges: int
    """Those of them that are merges."""
    answers: int
    """Answers that a checkpoint gives: prompts times samples; the mean where checkpoints differ in that."""
    prompt_tokens: float
    """Mean length of a prompt, chat template included."""
    answer_tokens: float
    """Mean length of an answer."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A whole sweep on some GPUs; engines share the checkpoints out among themselves."""

    gpus: int
    engines: int
    """Engines at work at once, each on as many GPUs as one model needs or the recipe splits it over."""
    batch: int
    """Sequences at once in one engine."""
    prefill_s: float
    """Seconds of one checkpoint's prompts."""
    decode_s: float
    """Seconds of one checkpoint's answers."""
    swap_s: float
    """Seconds until a merge's weights are in place."""
    hours: float
    """Of the whole sweep."""


def parse_gpus(text: str) -> tuple[Gpu, int]:
    """`A100-40GB x4` as the GPU and its count; without one, 1. Raises MergescopeError naming the known ones."""
    known = {_plain(name): gpu for name, gpu in GPUS.items()}
    if _plain(text) in known:  # the x of rtx4090 counts nothing
        return known[_plain(text)], 1
    found = re.fullmatch(r"(.*?)\s*[x×]\s*(\d{1,4})\s*", text, re.DOTALL)
    if found is None or _plain(found[1]) not in known or not 1 <= int(found[2]) <= MOST_GPUS:
        cure = f'write NAME or "NAME xN", N from 1 to {MOST_GPUS}, with one of {", ".join(GPUS)}'
        raise MergescopeError("no GPU that is known here", where="--gpu", value=text, cure=cure)
    return known[_plain(found[1])], int(found[2])


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def cache_bytes_per_token(config: Mapping[str, Any], dtype: str) -> int | None:
    """Key and value of one token in all layers, in bytes; None where the config does not say.

    An upper bound where layers attend to a sliding window or share or compress their cache.
    """
    layers = config.get("num_hidden_layers", config.get("n_layer"))
    width = config.get("hidden_size", config.get("n_embd"))
    heads = config.get("num_attention_heads", config.get("n_head"))
    if not layers or not width or not heads:
        return None
    size = config.get("head_dim") or width // heads
    pairs: int = 2 * layers * (config.get("num_key_value_heads") or heads) * size
    return pairs * ITEM_BYTES[dtype]


def needed_bytes(served: Served) -> int:
    """Bytes that one model takes with the cache of its longest sequence, overhead apart."""
    return served.weights + served.cache * served.longest


def gpus_per_model(served: Served, gpu: Gpu) -> int | None:
    """GPUs, a power of two, over which one model has to be split; None where 16 do not hold it."""
    for count in (1, 2, 4, 8, 16):
        if fits_on(served, gpu, count):
            return count
    return None


def fits_on(served: Served, gpu: Gpu, split: int) -> bool:
    """Whether a model that is split over so many GPUs has room on them."""
    return needed_bytes(served) <= split * usable_bytes(gpu)


def least_memory(served: Served) -> int:
    """Bytes of the smallest GPU that holds the model alone."""
    return round((needed_bytes(served) + OVERHEAD_BYTES) / MEMORY_SHARE)


def usable_bytes(gpu: Gpu) -> float:
    """Bytes of one GPU for weights and cache."""
    return gpu.memory * MEMORY_SHARE - OVERHEAD_BYTES


def sweep_on(
    served: Served, asked: Questions, gpu: Gpu, gpus: int, share: Share, blend_s: float, split: int = 1
) -> Sweep | None:
    """The sweep on `gpus` of one kind; None where they do not hold one engine.

    blend_s: seconds in which the host makes one merge. split: GPUs that an engine takes, or more where the model needs
    more.
    """
    each = split if fits_on(served, gpu, split) else gpus_per_model(served, gpu)
    if each is None or each > gpus:
        return None
    engines = min(gpus // each, asked.checkpoints)
    batch = _batch(served, asked, each * usable_bytes(gpu), share)
    prefill = asked.answers * asked.prompt_tokens * 2 * served.parameters / (each * gpu.flops * share.flops)
    length = asked.prompt_tokens + asked.answer_tokens / 2
    step = max(
        (served.weights + batch * length * served.cache) / (each * gpu.bandwidth * share.bandwidth),
        2 * served.parameters * batch / (each * gpu.flops * share.flops),
    )
    decode = asked.answers / batch * asked.answer_tokens * step
    load = served.weights / (gpu.link * share.link)
    shared = -(-asked.checkpoints // engines)
    merges = min(shared, -(-asked.merges // engines))
    seconds = shared * (prefill + decode + load) + merges * blend_s
    return Sweep(gpus, engines, batch, prefill, decode, load + blend_s, seconds / 3600)


def _batch(served: Served, asked: Questions, usable: float, share: Share) -> int:
    """Sequences that fit beside the weights at their full mean length, at most what the engine takes."""
    room = usable - served.weights
    length = asked.prompt_tokens + asked.answer_tokens
    return max(1, min(share.batch, asked.answers, int(room / (length * served.cache)) if served.cache else share.batch))
