"""What was said and found in rounds, on disk as it comes: after a kill a round goes on with all that it had."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from io import FileIO
from pathlib import Path
from typing import Any

from mergescope.ground.errors import MergescopeError
from mergescope.ground.files import disk_refusals


class Notes:
    """A JSONL file of values by key, of which the last one counts; one process writes it. They hold no toxic text."""

    def __init__(self, path: Path) -> None:
        """path: of the file, which is read now; a line that a kill cut off is as none."""
        self._path = path
        self._values: dict[str, Any] = {}
        self._stream: FileIO | None = None
        for line in path.read_bytes().split(b"\n") if path.is_file() else ():
            with suppress(ValueError, TypeError, KeyError):
                row = json.loads(line)
                self._values[row["key"]] = row["value"]

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def add(self, key: str, value: Mapping[str, Any] | float | None) -> None:
        """Keep a value: handed to the system at once, so that it outlives this process.

        Raises MergescopeError where the disk is full or read-only.
        """
        # the line's end comes first: one that a kill cut off spoils no other
        raw = b"\n" + json.dumps({"key": key, "value": value}, allow_nan=False).encode()
        with disk_refusals(self._path):
            if self._stream is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._stream = self._path.open("ab", buffering=0)
            if self._stream.write(raw) != len(raw):
                raise MergescopeError("the disk is full", where=self._path, cure="free some room")
        self._values[key] = value

    def close(self) -> None:
        """Flush to disk and close; adding opens it again."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            with disk_refusals(self._path):
                os.fsync(stream.fileno())
            stream.close()
