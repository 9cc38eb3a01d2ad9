"""The files of a batch on this machine: its requests, and what is known of it at the server."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final

from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import disk_refusals, read_json, write_json
from mergescope.ground.ids import content_id, file_hash

ENDPOINT: Final = "/v1/chat/completions"
MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""OpenAI's limits of one file."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """What the server calls a batch; None where that is not known, sent or not."""

    file_id: str | None = None
    batch_id: str | None = None


class BatchFile:
    """Requests that were gathered, and stay on disk until their responses are journalled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """Content id of its requests and of when they were gathered: two files never share one."""
        return self.path.stem

    @property
    def gathered(self) -> float:
        """When, as a Unix time."""
        return self.path.stat().st_mtime

    def requests(self) -> list[str]:
        """Names of its requests; raises MergescopeError where the file is damaged."""
        try:
            return [json.loads(line)["custom_id"] for line in self.path.read_bytes().splitlines()]
        except (ValueError, TypeError, KeyError):
            raise MergescopeError("not a file of requests", where=self.path, cure="remove it and run again") from None

    def sent(self) -> SentFile:
        """What was noted last."""
        return SentFile(**read_json(self._note)) if self._note.is_file() else SentFile()

    def note(self, sent: SentFile) -> None:
        """Keep what the server calls it, on disk when this returns."""
        write_json(self._note, asdict(sent))

    def remove(self) -> None:
        """Its responses are journalled, or it is given up."""
        self.path.unlink()  # first: a note alone is of no batch
        self._note.unlink(missing_ok=True)

    @property
    def _note(self) -> Path:
        return self.path.with_suffix(".json")


class Gathering:
    """Requests that come one by one; a file of theirs counts once it is closed."""

    def __init__(self, folder: Path) -> None:
        """Raises MergescopeError where the disk refuses."""
        self._path = folder / "gathering.part"
        self._count = self._bytes = 0
        with disk_refusals(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            self._stream: FileIO = self._path.open("wb", buffering=0)

    def has_room(self, line: bytes) -> bool:
        """Whether a file may take this line too."""
        return self._count < MOST_REQUESTS and self._bytes + len(line) <= MOST_BYTES

    def add(self, line: bytes) -> None:
        """One request, as `request_line` writes it; raises MergescopeError where the disk refuses."""
        rest = line
        with disk_refusals(self._path):
            while rest:  # a disk that is nearly full takes a part
                rest = rest[self._stream.write(rest) :]
        self._count += 1
        self._bytes += len(line)

    def close(self) -> BatchFile:
        """The file, on disk under its name."""
        with disk_refusals(self._path):
            with self._stream:
                os.fsync(self._stream.fileno())
            name = content_id("b1", [file_hash(self._path), time.time_ns()])
            return BatchFile(self._path.rename(self._path.with_name(f"{name}.jsonl")))

    def drop(self) -> None:
        """Forget what was gathered."""
        self._stream.close()
        self._path.unlink(missing_ok=True)


def files_in(folder: Path) -> Iterator[BatchFile]:
    """The batches that an earlier run left, oldest first."""
    for path in sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime):
        yield BatchFile(path)


def request_line(name: str, body: Mapping[str, Any]) -> bytes:
    """One request as a line of a file."""
    line = {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}
    try:
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which only an escape can say
        return json.dumps(line).encode() + b"\n"
