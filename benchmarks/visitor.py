"""A reader of the pages without a browser: speaks Streamlit's own protocol and waits until the server has said all."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import websocket
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

SECONDS = 60.0
"""Longest wait for the end of a page."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One run of a page."""

    seconds: float
    """From the request to the message that all is said."""
    bytes: int
    elements: int


class Visitor:
    """One session; each `visit` runs a page once, as a click that changes the address does."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self._connection = connection
        self._page = ""

    def visit(self, page: str, **address: str) -> Shown:
        """Run a page with this address. Raises RuntimeError where it shows an exception."""
        asked = BackMsg()
        asked.rerun_script.query_string = urlencode({"lang": "en", **address})
        asked.rerun_script.page_name = "" if page == "frontier" else page
        asked.rerun_script.context_info.timezone = "UTC"
        started = time.monotonic()
        self._connection.send_binary(asked.SerializeToString())
        size = elements = 0
        while True:
            raw = self._connection.recv()
            if not isinstance(raw, bytes):
                continue
            size += len(raw)
            message = ForwardMsg.FromString(raw)
            kind = message.WhichOneof("type")
            if kind == "delta":
                elements += 1
                if message.delta.new_element.WhichOneof("type") == "exception":
                    raise RuntimeError(f"{page} {address}: {message.delta.new_element.exception.message}")
            if kind == "script_finished" and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                return Shown(time.monotonic() - started, size, elements)


@contextmanager
def visitor(address: str) -> Iterator[Visitor]:
    """A new session on the server at `address`."""
    host = urlsplit(address).netloc
    connection = websocket.create_connection(
        f"ws://{host}/_stcore/stream", timeout=SECONDS, origin=address, subprotocols=["streamlit"]
    )
    try:
        yield Visitor(connection)
    finally:
        connection.close()
