"""The one family of errors that users see: what is wrong, where, the offending value, the cure."""

from __future__ import annotations

from pathlib import Path


class MergescopeError(Exception):
    """A mistake that the user can mend; the command line prints it as one line and exits with code 2.

    Bugs are never wrapped in it: they crash with their traceback.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        value: object = None,
        cure: str | None = None,
    ) -> None:
        self.what = what
        """What is wrong, without a final full stop."""
        self.where = where
        """File, `file:line` or path in the recipe (`merge.ratios.steps`); None where there is no place."""
        self.value = value
        """The offending value as the user wrote it; None where there is none to show."""
        self.cure = cure
        """What to do about it, as an imperative; None where `what` says it."""
        super().__init__(self.line())

    def line(self) -> str:
        """The error on one line: `where: what (got 'value'); cure`. Control characters are made visible."""
        text = self.what
        if self.where is not None:
            text = f"{self.where}: {text}"
        if self.value is not None:
            text = f"{text} (got {_shortened(repr(self.value))})"
        if self.cure is not None:
            text = f"{text}; {self.cure}"
        return printable(text)


class RecipeError(MergescopeError):
    """A recipe that cannot be read or says something impossible."""


class DataError(MergescopeError):
    """A data file (triples, prompts, labels) that is missing, malformed or inconsistent."""


class CheckpointError(MergescopeError):
    """A checkpoint folder that is missing, incomplete, of another architecture or unsafe to load."""


class StoreError(MergescopeError):
    """A results file that is not ours, is newer than this version, or is held by another process."""


def printable(text: str) -> str:
    """`text` with control characters made visible: what comes from a file cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _shortened(text: str, limit: int = 120) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
