"""Where a server is, what it is asked for, and where its key comes from."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from mergescope.ground.errors import MergescopeError


def host_of(base_url: str) -> str:
    """Host, port where it is given, and path where it is not the usual /v1: one gateway may have many deployments."""
    url = urlsplit(base_url)
    path = url.path.rstrip("/")
    return f"{url.hostname}{f':{url.port}' if url.port else ''}{'' if path == '/v1' else path}"


def leaves_machine(address: str) -> bool:
    """Whether what is sent to an address leaves this machine: loopback does not. A path is of no matter."""
    name = (urlsplit(address).hostname or "").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return False
    try:
        return not ipaddress.ip_address(name).is_loopback
    except ValueError:  # a name
        return True


@dataclass(frozen=True, slots=True)
class Place:
    """A server and what it is asked for."""

    who: str
    """How errors call it: `the judge's server`."""
    base_url: str
    model: str
    api_key_env: str
    """Environment variable with the key."""
    concurrency: int
    """Most requests in flight."""
    timeout_s: float
    """Seconds for one request."""

    @property
    def host(self) -> str:
        """As `host_of` tells."""
        return host_of(self.base_url)

    @property
    def leaves_machine(self) -> bool:
        """As `leaves_machine` tells; where it is False no proxy of the environment may come in between."""
        return leaves_machine(self.base_url)

    def key(self) -> str:
        """The key; raises MergescopeError where its environment variable is not set, or holds what no key is."""
        key, where = os.environ.get(self.api_key_env), f"environment variable {self.api_key_env}"
        if not key:
            raise MergescopeError(f"the key of {self.who} is not set", where=where, cure="export it")
        if not key.isascii() or not key.isprintable() or " " in key:
            what = f"the key of {self.who} holds blanks or characters that no header can (not shown)"
            raise MergescopeError(what, where=where, cure="export it anew")
        return key
