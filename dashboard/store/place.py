"""Which results file this server shows."""

from __future__ import annotations

import os
from pathlib import Path

STORE_VARIABLE = "MERGESCOPE_STORE"
"""Environment variable that tells the pages which store to show."""


def store_path() -> Path:
    """The store that this server shows; `results.duckdb` in the working directory where none is named."""
    return Path(os.environ.get(STORE_VARIABLE, "results.duckdb")).absolute()
