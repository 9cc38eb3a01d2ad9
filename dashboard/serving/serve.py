"""Serves the pages: on this machine alone, unless readers sign in or the user says otherwise."""

from __future__ import annotations

import ipaddress
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
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dashboard.serving import sign_in
from dashboard.serving.guard import ANY_ADDRESS, HOSTS_VARIABLE
from dashboard.store.place import STORE_VARIABLE
from mergescope.ground.errors import MergescopeError

HOST = "127.0.0.1"
FIRST_PORT = 8501
PORTS = 50
"""How many ports from the first one on are tried."""
START_SECONDS = 60.0
APP = Path(__file__).with_name("server.py")
ROOT = APP.parents[2]
"""Holds the packages and Streamlit's own settings."""
_OURS = (HOSTS_VARIABLE, sign_in.SIGN_IN_VARIABLE, sign_in.SHARED_VARIABLE)
"""Environment variables that only this module sets."""
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Binding:
    """Where the pages are served, and to whom."""

    host: str = HOST
    """IP address to listen on."""
    settings: Path | None = None
    """The sign-in's file; None where nobody signs in."""
    without_sign_in: bool = False
    """The user wants other machines to reach the pages all the same."""

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return ipaddress.ip_address(self.host).is_loopback

    @property
    def reached_at(self) -> str:
        """An address that this machine reaches it at, as URLs have it."""
        found = ipaddress.ip_address(self.host)
        if found.is_unspecified:
            return "127.0.0.1" if found.version == 4 else "[::1]"
        return self.host if found.version == 4 else f"[{self.host}]"

    def names(self) -> list[str]:
        """The host names that it answers to: against DNS rebinding, no others."""
        names = [*LOCAL_NAMES]
        if self.settings is not None:
            names.append(sign_in.settings(self.settings).host)
        elif not self.is_local:
            names += [socket.gethostname(), socket.getfqdn(), ANY_ADDRESS]
        return list(dict.fromkeys(name.lower() for name in names))


LOOPBACK = Binding()


def serve(store: Path, port: int | None, open_browser: bool, binding: Binding = LOOPBACK) -> int:
    """Serve `store` until Ctrl-C or SIGTERM; returns the exit code, 0 after either.

    `port` None takes the first free one from 8501 on. Prints the address once the server answers. Raises
    MergescopeError where the port is taken, the server does not start, or other machines would reach it without
    sign-in though nobody asked for that.
    """
    _allowed(binding)
    chosen = free_port(binding.host) if port is None else _checked(binding.host, port)
    address = f"http://{binding.reached_at}:{chosen}"
    try:
        with _stops_on_sigterm(), _server(store, chosen, binding) as process:
            _wait_until_it_answers(process, address)
            print(f"Mergescope: {address}", flush=True)
            if open_browser:
                webbrowser.open(address)
            return process.wait()
    except KeyboardInterrupt:
        return 0


def free_port(host: str = HOST) -> int:
    """The first port from 8501 on that nobody listens on."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        if _is_free(host, port):
            return port
    raise MergescopeError(f"no free port between {FIRST_PORT} and {FIRST_PORT + PORTS - 1}", cure="give one by --port")


def _allowed(binding: Binding) -> None:
    """Raises MergescopeError where this binding may not be served."""
    try:
        is_local = binding.is_local
    except ValueError:
        cure = "give one such as 127.0.0.1 or 0.0.0.0"
        raise MergescopeError("not an IP address", where="--host", value=binding.host, cure=cure) from None
    if binding.settings is not None:
        sign_in.check(binding.settings)
    elif not is_local and not binding.without_sign_in:
        what = "other machines would reach the results without sign-in"
        cure = "name a file of sign-in settings (--sign-in, docs/serving.md), or say --without-sign-in"
        raise MergescopeError(what, where="--host", value=binding.host, cure=cure)


@contextmanager
def _server(store: Path, port: int, binding: Binding) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "dashboard", "run", str(APP), *_options(port, binding)]
    # its own banner names addresses that are not ours to show; errors come by stderr
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=_environment(store, binding),
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
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


def _environment(store: Path, binding: Binding) -> dict[str, str]:
    told = {STORE_VARIABLE: str(store.absolute()), HOSTS_VARIABLE: ",".join(binding.names()), "PYTHONUNBUFFERED": "1"}
    if binding.settings is not None:
        told[sign_in.SIGN_IN_VARIABLE] = str(binding.settings.absolute())
    elif not binding.is_local:
        told[sign_in.SHARED_VARIABLE] = "1"
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    return {**kept, **told}


def _options(port: int, binding: Binding) -> list[str]:
    values = {
        "server.address": binding.host,
        "server.port": str(port),
        "server.headless": "true",
        "server.showEmailPrompt": "false",
        "server.fileWatcherType": "none",
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",  # on: WebSockets of foreign pages are refused
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "runner.magicEnabled": "false",
        "global.minCachedMessageSize": "1e12",  # no message is cached: one may show a toxic text
        "server.allowedHosts": "*",  # dashboard/serving/guard.py looks at every request, not at WebSockets alone
    }
    return [part for name, value in values.items() for part in (f"--{name}", value)]


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


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _checked(host: str, port: int) -> int:
    if not _is_free(host, port):
        raise MergescopeError("this port is taken", where="--port", value=port, cure="give another one or none")
    return port
