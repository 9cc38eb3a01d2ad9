"""Published data sets, which lie beside the repository where they lie at all: never in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_BESIDE = Path(__file__).parents[2] / "shared" / "data"


def public_file(name: str) -> Path:
    """The file `name`, relative to the data folder; skips the test where it is not there."""
    path = Path(os.environ.get("MERGESCOPE_DATA", _BESIDE)) / name
    if not path.is_file():
        pytest.skip(f"needs the published {name}: set MERGESCOPE_DATA to a folder that holds it")
    return path
