"""The guard that keeps tests off the network works, here and in child processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def test_this_process_reaches_no_other_machine() -> None:
    with pytest.raises(PermissionError, match="may not reach"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    with pytest.raises(PermissionError, match=r"example\.invalid"):
        socket.getaddrinfo("example.invalid", 80)


def test_child_processes_reach_none_either_and_are_noted(tmp_path: Path) -> None:
    code = "import urllib.request; urllib.request.urlopen('http://192.0.2.1/', timeout=1)"
    environment = {**os.environ, "NETWORK_LOG": str(tmp_path / "log")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "192.0.2.1" in (tmp_path / "log").read_text(encoding="utf-8")


def test_the_machine_itself_stays_in_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass
