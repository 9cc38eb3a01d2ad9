"""Main memory: what this machine has, and what of it can be had now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory, in bytes."""

    total: int
    """What this machine has, or the control group that we run in may take."""
    available: int
    """What can be had now without swapping, page cache that can be dropped included."""


def memory() -> Memory:
    """Main memory; where the system does not say what is available, all of it counts as such."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")  # a container's, under control groups of version 2
    text = limit.read_text(encoding="ascii").strip() if limit.is_file() else "max"
    total = total if text == "max" else min(total, int(text))
    facts = Path("/proc/meminfo")
    if not facts.is_file():
        return Memory(total, total)
    lines = dict(line.split(":", 1) for line in facts.read_text(encoding="ascii").splitlines())
    return Memory(total, min(total, int(lines["MemAvailable"].split()[0]) * 1024))
