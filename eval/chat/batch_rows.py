"""Rows of a batch's output and error files, read without trusting their shape."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eval.chat.completion import read_completion
from eval.chat.journal import Response
from eval.chat.refusals import Failure, passing, withheld


@dataclass(frozen=True, slots=True)
class Rejected:
    """A request that the server does not take."""

    status: int
    error: object
    """The server's own words, to be read and not shown."""


def request_name(key: str, nth: int) -> str:
    """What a batch calls the `nth` request of a key: its answers are told apart by it."""
    return f"{key}.{nth}"


def key_and_nth(name: str) -> tuple[str, int]:
    """What a request is called after."""
    key, _, nth = name.rpartition(".")
    return key, int(nth)


def read_rows(content: bytes) -> dict[str, Response | Failure | Rejected]:
    """What came of each request, by its name; lines that are no rows are left out."""
    rows: dict[str, Response | Failure | Rejected] = {}
    for line in content.splitlines():
        try:
            row = json.loads(line)
            rows[row["custom_id"]] = _outcome(row)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return rows


def _outcome(row: Mapping[str, Any]) -> Response | Failure | Rejected:
    key, _ = key_and_nth(row["custom_id"])
    response = row.get("response")
    if response is None:
        return "timeout" if (row.get("error") or {}).get("code") == "batch_expired" else "server"
    status, body = response["status_code"], response["body"]
    if status == 200:
        return read_completion(key, json.dumps(body).encode()) or "server"
    error = body.get("error") if isinstance(body, Mapping) else None
    code = error.get("code") if isinstance(error, Mapping) else None
    if passing(status, code):
        return "server"
    kind = withheld(status, code, body)
    return Response(key, error_kind=kind) if kind == "filter" else kind or Rejected(int(status), error)
