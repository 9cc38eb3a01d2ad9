"""What all tests share: no network, no telemetry, and no trace outside their own folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a real file system of so many bytes; skips where mounting is not allowed."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command here")
        if done.returncode != 0:
            pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def read_only(small_disk: Callable[[int], Path]) -> Path:
    """An empty folder on a read-only disk: permissions would not stop root."""
    place = small_disk(1 << 26)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    return place


@pytest.fixture
def code_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """transformers copies a model's own code before it runs it: here, and not into the user's cache."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return tmp_path / "modules"
