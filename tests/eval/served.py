"""An OpenAI-compatible server for tests: in a thread with a script or a rule, or in a process with some latency."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from eval.judges.rubric import load_rubric
from eval.prompts import Kind

WORDS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back for one request."""

    status: int = 200
    body: Body | str | bytes = ""
    """Sent as JSON, or a string or bytes as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)
    after_s: float = 0.0
    """Seconds until it is sent."""
    cut: bool = False
    """Whether the connection ends in the middle of the body."""


def verdict(kind: Kind | Literal["pairwise"], **grades: Any) -> str:
    """A judge's well-formed words."""
    usual = {"safety": 4, "refusal": "none", "compliance": "full_answer"}
    axes = load_rubric("ja").content["kinds"][kind]["axes"]
    return json.dumps({axis: {"reason": "なぜなら", "grade": grades.get(axis, usual.get(axis, 5))} for axis in axes})


def completion(content: str | None, finish: str = "stop", refusal: str | None = None, **more: Any) -> Reply:
    """A chat completion."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    body = {"id": "x", "object": "chat.completion", "created": 0, "model": "served-1", "choices": [choice]}
    return Reply(200, {**body, "usage": usage, **more})


def refusal(status: int, message: str = "no", code: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's form; underscores of header names become hyphens."""
    error = {"message": message, "type": "x", "param": None, "code": code}
    return Reply(status, {"error": error}, {name.replace("_", "-"): value for name, value in headers.items()})


class Server:
    """Replies by a rule, or from a script: first to last, then the last for ever."""

    def __init__(self) -> None:
        self.script: list[Reply] = []
        self.rule: Callable[[Body], Reply] | None = None
        self.requests: list[Body] = []
        """Bodies of the completions asked for."""
        self.heads: list[str] = []
        """Request lines and headers of all requests."""
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = 0

    @property
    def base_url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def reply(self, raw: bytes) -> Reply:
        """What the next request gets."""
        body = json.loads(raw)
        self.requests.append(body)
        if self.rule is not None:
            return self.rule(body)
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


class _Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one request after another."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = next((int(h[15:]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")), 0)
        if not end or len(rest) < length:
            return
        self._received = b""
        self._server.heads.append(head.decode())
        reply = self._server.reply(rest)
        self._server.in_flight += 1
        self._server.most_in_flight = max(self._server.most_in_flight, self._server.in_flight)
        asyncio.get_running_loop().call_later(reply.after_s, self._send, reply)

    def _send(self, reply: Reply) -> None:
        self._server.in_flight -= 1
        body = reply.body if isinstance(reply.body, str | bytes) else json.dumps(reply.body)
        body = body.encode() if isinstance(body, str) else body
        headers = {"content-type": "application/json", "content-length": str(len(body)), **reply.headers}
        lines = [f"HTTP/1.1 {reply.status} {WORDS.get(reply.status, 'X')}", *(f"{k}: {v}" for k, v in headers.items())]
        self._transport.write("\r\n".join([*lines, "", ""]).encode() + (body[: len(body) // 2] if reply.cut else body))
        if reply.cut:
            self._transport.close()


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Run a server in a thread of this process."""
    loop = asyncio.new_event_loop()
    listening = loop.run_until_complete(loop.create_server(lambda: _Connection(server), "127.0.0.1", 0, backlog=1024))
    server.port = listening.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def main(latency_s: float) -> None:
    """Serve verdicts on harmful answers until standard input ends; writes the port first."""
    server = Server()
    server.script = [Reply(200, completion(verdict("harmful")).body, after_s=latency_s)]
    with serving(server):
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()
        sys.stdout.write(f"{len(server.requests)}\n")


if __name__ == "__main__":
    main(float(sys.argv[1]))
