"""What could not be made, and why: kept beside what was, so that nothing is missing without a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from mergescope.ground.errors import DataError
from mergescope.ground.files import read_json, write_json

FILE = "not-made.json"


@dataclass(frozen=True, slots=True)
class NotMade:
    """One item of which nothing was made."""

    fault: str
    """Its kind, a `Fault`."""
    what: str
    """What it is, for people: a question, or the place of a raw text."""


class Failures:
    """The failures of one set, in a file of it."""

    def __init__(self, folder: Path) -> None:
        """folder: the set's. Raises DataError where its file of failures is not ours."""
        self._path = folder / FILE
        self._found = _read(self._path)
        self._changed = False

    def keep(self, name: str, failure: NotMade) -> None:
        """Note why nothing was made of an item."""
        self._changed |= self._found.get(name) != failure
        self._found[name] = failure

    def drop(self, name: str) -> None:
        """It was made after all."""
        self._changed |= self._found.pop(name, None) is not None

    def counts(self, names: Container[str]) -> Counter[str]:
        """How many of these items were not made, by kind."""
        return Counter(failure.fault for name, failure in self._found.items() if name in names)

    def save(self) -> None:
        """Write the file, whole, where anything changed."""
        if self._changed:
            rows = {name: {"fault": one.fault, "what": one.what} for name, one in sorted(self._found.items())}
            write_json(self._path, rows)
            self._changed = False


def _read(path: Path) -> dict[str, NotMade]:
    if not path.is_file():
        return {}
    try:
        return {name: NotMade(str(row["fault"]), str(row["what"])) for name, row in read_json(path).items()}
    except (AttributeError, KeyError, TypeError):
        cure = "remove it: the next run writes it anew"
        raise DataError("not a file of what was not made", where=path, cure=cure) from None
