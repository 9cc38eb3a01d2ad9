"""Starting vLLM: settings that keep it on this machine, and one line for what it refuses."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mergescope.ground.errors import MergescopeError

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_HOST_IP": "127.0.0.1",  # workers are all on this machine, and listen to nobody else
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}
MEMORY = "take a smaller eval.engine.max_model_len or dtype, or a larger tensor_parallel"
CURES = {
    "KV cache": MEMORY,
    "cache blocks": MEMORY,
    "Free memory": "end what else runs on the device",
    "Available memory": "end what else runs here, or set VLLM_CPU_KVCACHE_SPACE to fewer GB",
    "divisible": "take an eval.engine.tensor_parallel that divides the model's attention heads",
    "World size": "take an eval.engine.tensor_parallel of at most the devices that are here",
    "NUMA": "set VLLM_CPU_OMP_THREADS_BIND to each worker's cores, such as 0-3|4-7",
}
"""By words of vLLM's own refusal: what to do."""
OUT_OF_MEMORY = ("out of memory", "can't allocate memory")


def started(folder: Path, dtype: str, max_model_len: int | None, tensor_parallel: int, *, may_run_code: bool) -> Any:
    """vLLM's engine on `folder`, whose workers know how to swap weights.

    Raises MergescopeError where the extra `vllm` is not installed, or vLLM refuses to start.
    """
    # the engine itself in this process: between processes of its own vLLM sends nothing but plain values
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from vllm import LLM
    except ImportError:
        cure = "run `make .venv/vllm` in the project's folder"
        raise MergescopeError("the vllm engine is not installed", where="eval.engine.kind", cure=cure) from None
    try:
        return LLM(
            model=str(folder),
            dtype=dtype,
            max_model_len=max_model_len,
            tensor_parallel_size=tensor_parallel,
            worker_extension_cls="eval.engines.vllm_worker.SwapWorker",
            seed=0,
            trust_remote_code=may_run_code,
            enable_prefix_caching=False,  # cached prefixes would outlive the weights that made them
            disable_log_stats=True,
        )
    except Exception as error:
        raise _refusal(error) or error from error


def _refusal(error: Exception) -> MergescopeError | None:
    """vLLM's own refusal on one line with its cure; None for what is none: a bug, with its traceback."""
    text = " ".join(str(error).split())
    if any(words in text for words in OUT_OF_MEMORY):
        return MergescopeError("vLLM is out of memory at its start", where="eval.engine", cure=MEMORY)
    if "WorkerProc initialization failed" in text:
        why = "its reason stands above; often memory, or GPUs that are taken"
        return MergescopeError("a worker of vLLM did not start", where="eval.engine", cure=why)
    fallback = "take kind: transformers" if isinstance(error, ValueError) else None
    cure = next((cure for words, cure in CURES.items() if words in text), fallback)
    if cure is None:
        return None
    return MergescopeError(f"vLLM does not start: {_first_sentence(text)}", where="eval.engine", cure=cure)


def _first_sentence(text: str) -> str:
    """Of pydantic's words, which vLLM's own stand in, as of plain ones."""
    return (text.partition("Value error, ")[2] or text).partition(". ")[0].rstrip(".")
