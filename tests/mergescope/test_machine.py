"""What this machine has, and how fast it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mergescope import machine
from mergescope.ground.memory import memory
from mergescope.machine import cores, free_bytes, measured_rates


def test_memory_and_cores_are_this_machine_s() -> None:
    found = memory()
    assert 0 < found.available <= found.total <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_room_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)


def test_rates_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "weights"
    file.write_bytes(bytes(1 << 22))
    rates = measured_rates(file)
    assert rates.read is None  # too small to tell
    # what no computer of these years misses: 100 MB/s of copy and sha256 at least, a terabyte at most
    assert 1e8 < rates.copy < 1e12
    assert 1e7 < rates.digest < rates.copy
    monkeypatch.setattr(machine, "LEAST_FILE", 1 << 22)
    read = measured_rates(file).read
    assert read is not None
    assert read > 1e6
