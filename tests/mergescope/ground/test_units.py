"""Sizes and times as people read them."""

from __future__ import annotations

import pytest

from mergescope.ground.units import size_text, time_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (512, "0.5 kB"),
        (99_999, "100.0 kB"),
        (100_000, "0.1 MB"),
        (3_762_688, "3.8 MB"),
        (100_000_000, "0.1 GB"),
        (27_415_848_960, "27.4 GB"),
        (1_234_567_890_123, "1,234.6 GB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.004, "0.00 s"),
        (0.25, "0.25 s"),
        (7.4, "7 s"),
        (99, "99 s"),
        (120, "2 min"),
        (6000, "1.7 h"),
        (9e6, "2,500.0 h"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
