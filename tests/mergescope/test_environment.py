"""Telemetry is off in this process and its children."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mergescope import cli
from mergescope.environment import TELEMETRY_OFF, share_cores


def test_every_command_switches_telemetry_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in TELEMETRY_OFF:
        monkeypatch.setenv(name, "as the user had it")
    monkeypatch.setattr(sys, "argv", ["mergescope", "status", str(tmp_path / "none.yaml")])
    with pytest.raises(SystemExit):
        cli.main()
    assert {name: os.environ[name] for name in TELEMETRY_OFF} == TELEMETRY_OFF


def test_waiting_threads_sleep_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    share_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    share_cores()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
