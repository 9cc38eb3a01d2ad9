"""A stand-in for a judge: an OpenAI-compatible server that answers after a fixed time with a verdict of the asked form.

    python -m benchmarks.judge_server [--latency SECONDS]

Prints its port on 127.0.0.1 and serves until it is ended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Server(ThreadingHTTPServer):
    """One thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, latency_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.latency_s = latency_s


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"  # connections stay open, as with real servers
    disable_nagle_algorithm = True

    def do_POST(self) -> None:  # the base class names it
        arrived = time.monotonic()
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        schema = body["response_format"]["json_schema"]["schema"]
        raw = json.dumps(_completion(body["model"], json.dumps(_filled(schema)))).encode()
        time.sleep(max(0.0, arrived + self.server.latency_s - time.monotonic()))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds from a request to its answer [0.2]")
    with Server(parser.parse_args().latency) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
