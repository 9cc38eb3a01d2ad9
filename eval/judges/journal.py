"""Responses as they were received, on disk before anything else happens to them: nothing paid for is asked again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO


@dataclass(frozen=True, slots=True)
class Response:
    """One response of a judge's server, received in full."""

    judgement_id: str
    text: str | None
    """The verdict; None where the server withheld it."""
    finish_reason: str | None
    """stop, length, content_filter, or what the server says."""
    refusal: str | None
    """Why the model declined to judge; None where it did not."""
    model: str
    """The model that the server says it used."""
    tokens: int | None
    """Prompt and completion tokens together."""


class Journal:
    """A JSONL file, one response a line; one process writes it."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier run received; a line cut off by a kill is dropped."""
        self._path = path
        self._responses: dict[str, list[Response]] = {}
        self._stream: IO[bytes] | None = None
        if path.exists():
            for line in path.read_bytes().split(b"\n"):
                self._take(line)

    def responses(self, judgement_id: str) -> list[Response]:
        """What was received for a question, oldest first."""
        return self._responses.get(judgement_id, [])

    def append(self, response: Response) -> None:
        """Write a response and flush it to disk."""
        if self._stream is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self._path.open("ab")
            if self._stream.tell() > 0:
                self._stream.write(b"\n")  # a line cut off by a kill ends here
        line = json.dumps(asdict(response), ensure_ascii=True).encode() + b"\n"
        self._stream.write(line)
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._responses.setdefault(response.judgement_id, []).append(response)

    def _take(self, line: bytes) -> None:
        try:
            response = Response(**json.loads(line))
        except (ValueError, TypeError):
            return  # blank, or cut off by a kill: its question is asked again
        self._responses.setdefault(response.judgement_id, []).append(response)
