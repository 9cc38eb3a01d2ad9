"""A reader of the pages without a browser: speaks Streamlit's own protocol and waits until the server has said all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import websocket
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

SECONDS = 60.0
"""Longest wait for the end of a page."""

ALERT = 'role="alert"'
"""In the HTML of what a page says where something went wrong."""


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
        self._shown = BackMsg()
        """What asked for the page that is shown."""
        self._page = ""
        """Its hash."""
        self._components: dict[str, tuple[str, Any]] = {}
        """Of the page that is shown, our components by name (dashboard/parts): its id and data."""

    def visit(self, page: str, **address: str) -> Shown:
        """Run a page with this address. Raises RuntimeError where it says that something went wrong."""
        asked = BackMsg()
        asked.rerun_script.query_string = urlencode({"lang": "en", **address})
        asked.rerun_script.page_name = "" if page == "frontier" else page
        asked.rerun_script.context_info.timezone = "UTC"
        self._shown = asked
        return self._run(asked)

    def data_of(self, component: str) -> Any:
        """What a component of the page is given to show; KeyError where the page has none of this name."""
        return self._components[component][1]

    def pick(self, component: str, value: object) -> Shown:
        """What a click in a component does: the page runs with its trigger `picked` at `value`."""
        asked = BackMsg()
        asked.CopyFrom(self._shown)
        asked.rerun_script.ClearField("page_name")  # it would be another page, which forgets the state of this one
        asked.rerun_script.page_script_hash = self._page
        own = self._components[component][0]
        told = json.dumps([{"event": "picked", "value": value}])
        asked.rerun_script.widget_states.widgets.add(id=own, json_value="{}")
        asked.rerun_script.widget_states.widgets.add(
            id=f"$$STREAMLIT_INTERNAL_KEY_{own}__events", json_trigger_value=told
        )
        return self._run(asked)

    def _run(self, asked: BackMsg) -> Shown:
        page = f"{asked.rerun_script.page_name} {asked.rerun_script.query_string}"
        self._components = {}
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
            if kind == "navigation":
                self._page = message.navigation.page_script_hash
            if kind == "delta":
                elements += 1
                self._look_at(message.delta.new_element, page)
            if kind == "script_finished" and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                return Shown(time.monotonic() - started, size, elements)

    def _look_at(self, element: Element, page: str) -> None:
        match element.WhichOneof("type"):
            case "exception":
                raise RuntimeError(f"{page}: {element.exception.message}")
            case "html" if ALERT in element.html.body:
                raise RuntimeError(f"{page}: {element.html.body}")
            case "bidi_component":
                one = element.bidi_component
                name = one.component_name.rpartition("mergescope_")[2]
                self._components[name] = one.id, json.loads(one.json) if one.json else None


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
