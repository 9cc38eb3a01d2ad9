"""What a benchmark's numbers were measured on."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable
from pathlib import Path


def cpu() -> str:
    """The processor's name, as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Version of each library that is installed under these names, and Python's."""
    return {name: importlib.metadata.version(name) for name in libraries} | {"python": platform.python_version()}
