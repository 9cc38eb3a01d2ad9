"""What this machine has at this moment, and how fast it is: measured in about a quarter of a second."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from merge.forecast import Rates

COPIED = 1 << 27
"""Bytes that are copied at a time: more than any cache holds."""
CORES = 16
"""Most threads that copy: a few fill the memory's bandwidth."""
COPY_S = 0.1
HASHED = 1 << 24
CHUNK = 1 << 23
"""Bytes of one read from the disk."""
READ_S = 0.1
"""Seconds of reading from the disk, at most one chunk more."""
LEAST_FILE = 1 << 28
"""Bytes of the smallest weight file whose reading is worth measuring; smaller models stay in the page cache."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_bytes(place: Path) -> int:
    """Bytes free on the disk on which `place` lies or will lie."""
    there = next(folder for folder in (place, *place.parents) if folder.exists())
    return shutil.disk_usage(there).free


def measured_rates(weights: Path | None) -> Rates:
    """Copy, hash and read for some hundredths of a second each.

    weights: the largest weight file, to read some of; None where there is none.
    """
    return Rates(copy=_copy_rate(), digest=_digest_rate(), read=_read_rate(weights))


def _copy_rate() -> float:
    import numpy as np

    workers = min(cores(), CORES)
    sources = np.array_split(np.ones(COPIED // 8), workers)
    targets = np.array_split(np.empty(COPIED // 8), workers)
    with ThreadPoolExecutor(workers) as pool:
        return 2 * COPIED / _best(lambda: list(pool.map(np.copyto, targets, sources)), COPY_S)


def _digest_rate() -> float:
    block = bytes(HASHED)
    return HASHED / _best(lambda: hashlib.sha256(block).digest(), 0)


def _best(work: Callable[[], object], seconds: float) -> float:
    """The shortest of at least three runs that take `seconds` together; the first one pays for fresh pages."""
    runs: list[float] = []
    began = time.perf_counter()
    while len(runs) < 3 or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        work()
        runs.append(time.perf_counter() - started)
    return min(runs)


def _read_rate(file: Path | None) -> float | None:
    """From the middle of the file, past the page cache where the system allows that."""
    if file is None or file.stat().st_size < LEAST_FILE:
        return None
    middle, done = file.stat().st_size // 2, 0
    handle = os.open(file, os.O_RDONLY)
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, middle, LEAST_FILE // 2, os.POSIX_FADV_DONTNEED)
        began = time.perf_counter()
        while done < LEAST_FILE // 2 and time.perf_counter() - began < READ_S:
            done += len(os.pread(handle, CHUNK, middle + done))
        return done / (time.perf_counter() - began)
    finally:
        os.close(handle)
