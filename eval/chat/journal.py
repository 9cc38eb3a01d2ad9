"""Responses as they were received, on disk before anything else happens to them: nothing paid for is asked again."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from io import FileIO
from pathlib import Path
from typing import Literal

from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import disk_refusals

Withheld = Literal["filter"]
"""Why a server gives no text to this request, now or later: its content filter."""


@dataclass(frozen=True, slots=True)
class Response:
    """One response of a server, received in full."""

    key: str
    """Content id of what was asked."""
    text: str | None = None
    """What the model said; None where the server withheld it."""
    finish_reason: str | None = None
    """stop, length, content_filter, or what the server says."""
    refusal: str | None = None
    """Why the model declined, where the server tells that apart; None where it did not."""
    model: str = ""
    """The model that the server says it used."""
    version: str | None = None
    """The server's system_fingerprint; None where it gives none."""
    tokens: int | None = None
    """Prompt and completion tokens together."""
    generated: int | None = None
    """Completion tokens alone, as the server tells them."""
    error_kind: Withheld | None = None
    """Why there is no text; the server's own words are not kept."""
    prompted: int | None = None
    """Prompt tokens alone; None where the server does not tell, and in lines of earlier versions."""
    structured: bool | None = None
    """Whether the request asked for JSON of a schema; None where nobody says, as in lines of earlier versions."""

    @property
    def prompt_tokens(self) -> int | None:
        """Prompt tokens, from the others where only those are known."""
        if self.prompted is None and self.tokens is not None and self.generated is not None:
            return max(self.tokens - self.generated, 0)
        return self.prompted

    @property
    def completion_tokens(self) -> int | None:
        """Completion tokens with thoughts that a server counts in the total alone."""
        if self.prompted is None or self.tokens is None:
            return self.generated
        return max(self.generated or 0, self.tokens - self.prompted)


class Journal:
    """A JSONL file, one response a line; one process writes it."""

    def __init__(self, path: Path) -> None:
        """path: of the file, which is read when it is first asked or written: it may be large, and nobody may ask."""
        self._path = path
        self._stream: FileIO | None = None

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._path

    @cached_property
    def _responses(self) -> dict[str, list[Response]]:
        """What was received, by request; a line cut off by a kill is dropped, and its question asked again."""
        found: dict[str, list[Response]] = {}
        for line in self._path.read_bytes().split(b"\n") if self._path.is_file() else ():
            with suppress(ValueError, TypeError):
                response = Response(**json.loads(line))
                found.setdefault(response.key, []).append(response)
        return found

    def responses(self, key: str) -> list[Response]:
        """What was received for a request, oldest first."""
        return self._responses.get(key, [])

    def mean_generated(self) -> float | None:
        """Mean completion tokens of what was received; None where nothing tells."""
        counts = [one.generated for received in self._responses.values() for one in received if one.generated]
        return sum(counts) / len(counts) if counts else None

    @property
    def holds_texts(self) -> bool:
        """Whether any response was more than a refusal of its request."""
        return any(response.error_kind is None for received in self._responses.values() for response in received)

    def write(self, response: Response) -> None:
        """Hand a response to the system, which keeps it if this process dies; it counts once it is synced and kept.

        Raises MergescopeError where the disk is full or read-only.
        """
        # the line's end comes first: one that a kill or a full disk cut off spoils no other
        rest = b"\n" + json.dumps(asdict(response), ensure_ascii=True).encode()
        with disk_refusals(self._path):
            stream = self._opened()
            while rest:  # a disk that is nearly full takes a part
                rest = rest[stream.write(rest) :]

    def sync(self) -> None:
        """Flush what was written to disk."""
        with disk_refusals(self._path):
            os.fsync(self._opened().fileno())

    def keep(self, response: Response) -> None:
        """Count a response as received."""
        self._responses.setdefault(response.key, []).append(response)

    def close(self) -> None:
        """Close the file; writing opens it again."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close()

    def _opened(self) -> FileIO:
        if self._stream is None:
            _ = self._responses  # of earlier runs: what is written now is kept apart, once it is synced
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # without a buffer: one that a full disk refused would be written again at the closing, and fail there
            self._stream = self._path.open("ab", buffering=0)
        return self._stream


class SharedSync:
    """One flush to disk for all responses that arrive while the one before is under way; of one event loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: list[tuple[Response, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def append(self, response: Response) -> None:
        """Write a response and return when it is on disk and counts.

        Raises MergescopeError where the disk is full or read-only.
        """
        self._journal.write(response)
        flushed = asyncio.get_running_loop().create_future()
        self._waiting.append((response, flushed))
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())
        await flushed

    async def finished(self) -> None:
        """Wait for what is under way, also where those who waited for it were stopped."""
        if self._flushing is not None:
            await asyncio.wait([self._flushing])

    async def _flush(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._journal.sync)
            except (OSError, MergescopeError) as error:
                for _, flushed in waiting:
                    if not flushed.done():
                        flushed.set_exception(error)
                continue
            for response, flushed in waiting:
                self._journal.keep(response)
                if not flushed.done():
                    flushed.set_result(None)
