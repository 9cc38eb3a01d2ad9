"""Two vLLM workers on the cores of one CPU."""

from __future__ import annotations

import os

import pytest


def two_workers(environment: pytest.MonkeyPatch) -> None:
    """Settings under which vLLM's CPU build starts two workers; skips where there are no two cores for them."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        pytest.skip("two workers want a core each")
    half = len(cores) // 2
    binding = "|".join(",".join(map(str, some)) for some in (cores[:half], cores[half:]))
    environment.setenv("VLLM_CPU_OMP_THREADS_BIND", binding)
    environment.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
