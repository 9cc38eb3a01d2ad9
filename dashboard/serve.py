"""Serves the pages on this machine alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mergescope.ground.errors import MergescopeError

STORE_VARIABLE = "MERGESCOPE_STORE"
"""Environment variable that tells the pages which store to show."""
HOST = "127.0.0.1"
FIRST_PORT = 8501
PORTS = 50
"""How many ports from the first one on are tried."""
START_SECONDS = 60.0
APP = Path(__file__).parent / "app.py"


def serve(store: Path, port: int | None, open_browser: bool) -> int:
    """Serve `store` until Ctrl-C or SIGTERM; returns the exit code, 0 after either.

    `port` None takes the first free one from 8501 on. Prints the address once the server answers. Raises
    MergescopeError where the port is taken or the server does not start.
    """
    chosen = free_port() if port is None else _checked(port)
    address = f"http://{HOST}:{chosen}"
    try:
        with _stops_on_sigterm(), _server(store, chosen) as process:
            _wait_until_it_answers(process, address)
            print(f"Mergescope: {address}", flush=True)
            if open_browser:
                webbrowser.open(address)
            return process.wait()
    except KeyboardInterrupt:
        return 0


def free_port() -> int:
    """The first port from 8501 on that nobody listens on."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if _is_free(port):
            return port
    raise MergescopeError(f"no free port between {FIRST_PORT} and {FIRST_PORT + PORTS - 1}", cure="give one by --port")


@contextmanager
def _server(store: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "streamlit", "run", str(APP), *_options(port)]
    environment = {**os.environ, STORE_VARIABLE: str(store.absolute()), "PYTHONUNBUFFERED": "1"}
    # its own banner names addresses that are not ours to show; errors come by stderr
    process = subprocess.Popen(
        command, cwd=APP.parent.parent, env=environment, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _options(port: int) -> list[str]:
    values = {
        "server.address": HOST,
        "server.port": str(port),
        "server.headless": "true",
        "server.showEmailPrompt": "false",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "runner.magicEnabled": "false",
        "global.minCachedMessageSize": "1e12",  # no message is cached: one may show a toxic text
    }
    hosts = [("server.allowedHosts", host) for host in ("localhost", HOST)]  # against DNS rebinding
    return [part for name, value in [*values.items(), *hosts] for part in (f"--{name}", value)]


def _wait_until_it_answers(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise MergescopeError(f"the dashboard ended at once with code {process.returncode}", cure="see above")
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise MergescopeError(f"the dashboard did not answer within {START_SECONDS:.0f} s", where=address)


@contextmanager
def _stops_on_sigterm() -> Iterator[None]:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _checked(port: int) -> int:
    if not _is_free(port):
        raise MergescopeError("this port is taken", where="--port", value=port, cure="give another one or none")
    return port
