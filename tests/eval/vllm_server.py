"""A real `vllm serve` in a process of its own, on vLLM's CPU build or a GPU."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

START_S = 240.0


@contextmanager
def serving(model: Path, log: Path, key: str, name: str, longest: int) -> Iterator[str]:
    """Serve a model's folder under a name with so many tokens of context; gives its base_url."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model),
        "--served-model-name", name, "--host", "127.0.0.1", "--port", str(port), "--dtype", "float32",
        "--max-model-len", str(longest), "--api-key", key, "--generation-config", "vllm",
    ]  # fmt: skip
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_HOST_IP": "127.0.0.1", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as stream:
        running = subprocess.Popen(
            command, env={**os.environ, **settings}, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        _wait(running, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        running.terminate()
        running.wait(60)


def _wait(running: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert running.poll() is None, log.read_text(errors="replace")[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)  # not up yet
    pytest.fail(log.read_text(errors="replace")[-3000:])
