"""A stand-in for a judge: an OpenAI-compatible server that answers after a fixed time with a verdict of the asked form.

    python -m benchmarks.judge_server [--latency SECONDS]

Prints its port on 127.0.0.1 and serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class _Connection(asyncio.Protocol):
    """HTTP/1.1 whose connection stays open, as with real servers; one request after another."""

    def __init__(self, latency_s: float) -> None:
        self._latency_s = latency_s
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)  # TCP
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = next((int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")), 0)
        if not end or len(body) < length:
            return
        self._received = b""
        loop = asyncio.get_running_loop()
        arrived = loop.time()
        loop.call_at(arrived + self._latency_s, self._send, _reply(json.loads(body)))

    def _send(self, reply: bytes) -> None:
        assert self._transport is not None  # it has received something
        self._transport.write(reply)


def _reply(request: dict[str, Any]) -> bytes:
    schema = request["response_format"]["json_schema"]["schema"]
    body = json.dumps(_completion(request["model"], json.dumps(_filled(schema)))).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _filled(schema: dict[str, Any]) -> Any:
    if schema.get("type") == "object":
        return {name: _filled(part) for name, part in schema["properties"].items()}
    return schema["enum"][-1] if "enum" in schema else "as a stand-in says"


def _completion(model: str, content: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360}
    return {
        "id": "x", "object": "chat.completion", "created": 0, "model": model, "choices": [choice], "usage": usage,
    }  # fmt: skip


@contextmanager
def serving(latency_s: float) -> Iterator[str]:
    """Run the server in a process of its own for the block; gives its base_url."""
    command = [sys.executable, "-m", "benchmarks.judge_server", "--latency", str(latency_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # it is piped
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


async def serve(latency_s: float) -> None:
    """Serve until the process ends; writes the port first."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(latency_s), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds from a request to its answer [0.2]")
    asyncio.run(serve(parser.parse_args().latency))


if __name__ == "__main__":
    main()
