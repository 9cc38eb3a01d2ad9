"""The server as the command line starts it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from dashboard.serving.serve import FIRST_PORT, HOST, PORTS, free_port, serve
from mergescope.ground.errors import MergescopeError


def test_a_taken_port_is_passed_over() -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # another test's server may just have left it
        taken.bind((HOST, port))
        taken.listen()
        assert free_port() > port
        assert FIRST_PORT <= free_port() < FIRST_PORT + PORTS
        with pytest.raises(MergescopeError, match=f"--port: this port is taken .got {port}.; give another one"):
            serve(Path("results.duckdb"), port, open_browser=False)


@pytest.mark.parametrize("ending", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.deep)])
def test_it_serves_on_this_machine_alone_and_ends_well(store: Path, ending: signal.Signals) -> None:
    code = "import sys; from pathlib import Path; from dashboard.serving.serve import serve; "
    code += f"sys.exit(serve(Path({str(store)!r}), None, False))"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.default_int_handler
        ),  # a job in the background ignores it
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = line.removeprefix("Mergescope: ").strip()
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=10) as page:
            assert page.status == 200
        port = int(address.rpartition(":")[2])
        assert _listeners(port) == {"0100007F"}  # 127.0.0.1 as /proc writes it
        os.kill(process.pid, ending)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=2)


def _listeners(port: int) -> set[str]:
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    listening = [line.split() for line in lines]
    return {f[1].partition(":")[0] for f in listening if f[3] == "0A" and int(f[1].partition(":")[2], 16) == port}
