"""What all tests share: no network, no telemetry, and no trace outside their own folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mergescope.environment import offline, without_telemetry

GUARD = Path(__file__).parent / "guard"

without_telemetry()
offline()
os.environ["PYTHONPATH"] = os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])])


def pytest_configure() -> None:
    """Guard this process too; its children load the guard by themselves."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("network_guard", GUARD / "sitecustomize.py")
    if spec is None or spec.loader is None:
        raise RuntimeError("the network guard cannot be loaded")
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hashes of weight files are remembered in a folder of this run, not in the user's."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before
