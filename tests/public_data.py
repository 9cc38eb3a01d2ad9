"""Published data sets, which lie in a folder that MERGESCOPE_DATA names, if at all: never in the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def public_file(name: str) -> Path:
    """The file `name`, relative to MERGESCOPE_DATA; skips the test where it is not there."""
    folder = os.environ.get("MERGESCOPE_DATA")
    if folder is None:
        pytest.skip(f"needs the published {name}: MERGESCOPE_DATA is not set; name a folder that holds it")
    path = Path(folder) / name
    if not path.is_file():
        pytest.skip(f"needs the published {name}: MERGESCOPE_DATA has no such file")
    return path
