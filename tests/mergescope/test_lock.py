"""One process at a time works on a study."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mergescope.ground.errors import MergescopeError
from mergescope.lock import holder, locked
from tests.mergescope.conftest import holding

HOLD = (
    "import sys, time; from pathlib import Path; from mergescope.lock import locked\n"
    "with locked(Path(sys.argv[1])): print('in', flush=True); time.sleep(60)"
)


def test_a_second_process_is_refused_and_a_killed_one_frees_the_study(tmp_path: Path) -> None:
    with holding(HOLD, tmp_path) as process:
        with pytest.raises(MergescopeError, match=f"being run by process {process.pid}"), locked(tmp_path):
            pass
        assert holder(tmp_path) == f"process {process.pid}"
    assert holder(tmp_path) is None
    with locked(tmp_path):
        assert (tmp_path / "lock").read_text(encoding="utf-8") == f"process {os.getpid()}"


def test_nobody_holds_a_study_that_was_never_run(tmp_path: Path) -> None:
    assert holder(tmp_path / "none") is None
