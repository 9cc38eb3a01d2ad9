"""A disk that is full or read-only: one line that names place, room and cure, and nothing left half-written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from merge.adapters import adapt
from merge.bundle import BundleInputs
from merge.masks import masks_for
from merge.materialize import materialize
from mergescope.ground import files
from mergescope.ground.errors import MergescopeError
from tests.merge.adapters import write_adapter
from tests.merge.conftest import DEMO_POINT, World, a_point

Work = Callable[[Path], object]
TINY = 128_000
"""Bytes: less than the masks take (200 kB), and a checkpoint (3.5 MB)."""


@pytest.fixture
def drawing(demo_world: World) -> Work:
    return lambda place: masks_for(place, a_point(seed=99), demo_world.models, threads=1)


@pytest.fixture
def writing(demo_world: World, inputs: BundleInputs) -> Work:
    return lambda place: materialize(DEMO_POINT, inputs.merger, demo_world.models, place / "out")


@pytest.fixture
def adapting(demo_world: World, tmp_path: Path) -> Work:
    adapter = write_adapter(demo_world.models.base, tmp_path / "lora")
    return lambda place: adapt(demo_world.models.base, adapter, place / "out")


@pytest.fixture(params=["drawing", "writing", "adapting"])
def work(request: pytest.FixtureRequest) -> Work:
    found: Work = request.getfixturevalue(request.param)
    return found


def refusal(work: Work, place: Path) -> str:
    with pytest.raises(MergescopeError) as caught:
        work(place)
    assert not [path for path in place.rglob("*") if not path.is_dir() or path.name != "masks"]
    line = caught.value.line()
    assert line.startswith(str(place))
    assert "\n" not in line
    return line


def test_too_little_room_is_noticed_before_any_work(work: Work, small_disk: Callable[[int], Path]) -> None:
    line = refusal(work, small_disk(TINY))
    assert "this takes about" in line
    assert "are free; free some room" in line


@pytest.mark.deep
def test_a_disk_that_fills_up_meanwhile(
    work: Work, small_disk: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "require_room", lambda *_: None)
    line = refusal(work, small_disk(TINY))
    assert "the disk is full, and this takes about" in line
    assert "free some room" in line


def test_a_read_only_disk(work: Work, read_only: Path) -> None:
    assert "the disk is read-only; make it writable" in refusal(work, read_only)
