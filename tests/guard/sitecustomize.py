"""Stops every Python process of the tests from reaching another machine, and notes each attempt.

Python runs a module of this name at its start; the tests put this folder first on the path of all their processes.
Connections within the machine stay allowed.
"""

import ipaddress
import os
import sys


def _is_local(host: object) -> bool:
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" or event == "socket.sendto":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a path: a socket within the machine
    elif event == "socket.getaddrinfo":
        host = arguments[0]
        host = host.decode() if isinstance(host, bytes) else host
    else:
        return
    if _is_local(host):
        return
    if log := os.environ.get("NETWORK_LOG"):
        with open(log, "a", encoding="utf-8") as stream:  # noqa: PTH123 -- every process pays for imports here
            stream.write(f"{event} {host} {sys.argv[:3]}\n")
    raise PermissionError(f"a test may not reach {host!r}")


sys.addaudithook(_watch)
