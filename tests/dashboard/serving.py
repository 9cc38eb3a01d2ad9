"""The command line's server, started for a test, and requests byte for byte."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: streamlit\r\n"
)


@contextmanager
def dashboard(
    store: Path, log: Path, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """`mergescope dashboard` in a process of its own, its stderr in `log`; yields its port."""
    command = [sys.executable, "-m", "mergescope", "dashboard", "--store", str(store), *options]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stream, text=True, env={**os.environ, **(environment or {})}
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r":(\d+)$", line.strip())
        assert found, (line, log.read_text(encoding="utf-8"))
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(timeout=20)


def asked(port: int, line: str, headers: str) -> tuple[int, str]:
    """Status and everything else of the answer to one request. headers: each ended by CR LF."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(f"{line} HTTP/1.1\r\n{headers}\r\n".encode("latin-1"))
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = wire.recv(65536)
            if not more:
                break
            answer += more
    text = answer.decode("latin-1")
    return int(text.split()[1]), text
