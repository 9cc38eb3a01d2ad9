"""Telemetry is off in this process and its children."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from mergescope import cli
from mergescope.environment import TELEMETRY_OFF


def test_every_command_switches_telemetry_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in TELEMETRY_OFF:
        monkeypatch.setenv(name, "as the user had it")
    monkeypatch.setattr(sys, "argv", ["mergescope", "status", str(tmp_path / "none.yaml")])
    with pytest.raises(SystemExit):
        cli.main()
    assert {name: os.environ[name] for name in TELEMETRY_OFF} == TELEMETRY_OFF
