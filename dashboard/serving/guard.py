"""What stands before the pages: only hosts of ours are answered, and browsers are told to load nothing from elsewhere.

Streamlit's own `server.allowedHosts` looks at WebSockets alone; here every request is looked at, files and uploads too.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

HOSTS_VARIABLE = "MERGESCOPE_HOSTS"
"""Environment variable with the names that this server answers to, separated by commas."""
ANY_ADDRESS = "*"
"""Among those names: also every IP address. A foreign page cannot make a browser send one for another machine."""
POLICY = {
    "default-src": "'self'",
    "script-src": "'self' blob:",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data: blob:",
    "font-src": "'self' data:",
    "worker-src": "'self' blob:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
}
"""Whatever a text might smuggle into a page: no inline script, no handler and nothing of another host is taken."""
REFUSAL = b"Mergescope does not answer to this host name.\n"
MISDIRECTED = 421
"""RFC 9110, 15.5.20: a request for a host that this server does not serve."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names that a server answers to."""

    names: frozenset[str]
    """In lower case, without port."""
    addresses: bool = False
    """Whether it answers to every IP address too."""

    @classmethod
    def parsed(cls, text: str) -> Hosts:
        """From HOSTS_VARIABLE's form; nothing is allowed where it is empty."""
        names = frozenset(name.strip().lower() for name in text.split(",") if name.strip())
        return cls(names - {ANY_ADDRESS}, ANY_ADDRESS in names)

    def allow(self, header: str) -> bool:
        """Whether a Host header (`name`, `name:port`, `[::1]:port`) names one of them."""
        try:
            parts = urlsplit(f"//{header}")
            name, _ = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            return False
        if not name or "@" in header or parts.path or parts.query or parts.fragment:
            return False
        return name in self.names or (self.addresses and _is_address(name))


def headers(front_page: str) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer carries. front_page: HTML whose own inline scripts may run, and no others."""
    scripts = " ".join((POLICY["script-src"], *_hashes(front_page)))
    policy = "; ".join(f"{name} {value}" for name, value in {**POLICY, "script-src": scripts}.items())
    return (
        (b"content-security-policy", policy.encode("ascii")),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
        (b"cross-origin-resource-policy", b"same-origin"),
    )


def _hashes(front_page: str) -> list[str]:
    """CSP's sources of the inline scripts of an HTML page: base64 of each one's sha256."""
    bodies = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", front_page, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()}'" for body in bodies]


@dataclass(frozen=True, slots=True)
class Guard:
    """ASGI middleware: refuses foreign hosts, and adds headers to every answer."""

    app: App
    hosts: Hosts
    headers: tuple[tuple[bytes, bytes], ...]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif not self._is_ours(scope):
            await _refuse(scope, receive, send)
        else:
            await self.app(scope, receive, _with_headers(send, self.headers))

    def _is_ours(self, scope: Message) -> bool:
        named = [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"host"]
        return len(named) == 1 and self.hosts.allow(named[0])


async def _refuse(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: an HTTP 403
        return
    head = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(REFUSAL)).encode())]
    await send({"type": "http.response.start", "status": MISDIRECTED, "headers": head})
    await send({"type": "http.response.body", "body": REFUSAL})


def _with_headers(send: Send, headers: tuple[tuple[bytes, bytes], ...]) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return sending


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
