"""Words that others wrote, made harmless for a bundle: no markup, no control characters, no places of a machine."""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Any

LONGEST = 500
"""Characters of one text that a card shows."""
_FOLDER = r"[^\s/\\,;:'\"()<>|~][^/\\,;:'\"()<>|~\n]*"
"""A folder's name, which may have blanks in it."""
_LAST = r"([^\s/\\,;:'\"()<>|]+)"
_PLACES = (
    re.compile(rf"(?<![\w:/.<~-])(?:~[\w.-]*)?/(?:{_FOLDER}/)*{_LAST}?"),
    re.compile(rf"(?<!\w)(?:[A-Za-z]:|\\)\\(?:{_FOLDER}\\)*{_LAST}?"),
)
"""Paths from the root or a home folder, and from a drive or a server; an address (`https://…`) is none."""
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~$!])")


def placeless(value: Any) -> Any:
    """Plain JSON in which every absolute path inside a text is cut down to its last name."""
    match value:
        case str():
            return functools.reduce(lambda text, place: place.sub(_last_name, text), _PLACES, value)
        case dict():
            return {placeless(key): placeless(entry) for key, entry in value.items()}
        case list() | tuple():
            return [placeless(entry) for entry in value]
    return value


def _last_name(found: re.Match[str]) -> str:
    alone = "…" if len(found[0]) > 1 else found[0]  # a slash between two words is no path
    return found[1] or alone


def one_line(text: object, limit: int = LONGEST) -> str:
    """A text on one line of at most `limit` characters, control and formatting characters written as `<U+202E>`."""
    line = " ".join(str(text)[: 4 * limit].split())
    shown = "".join(f"<U+{ord(c):04X}>" if unicodedata.category(c).startswith("C") else c for c in line[:limit])
    return shown if len(line) <= limit else f"{shown}…"


def markdown(text: object, limit: int = LONGEST) -> str:
    """`one_line` whose characters mean nothing in Markdown or HTML."""
    return _MARKUP.sub(r"\\\1", one_line(text, limit)).replace("\\<", "&lt;").replace("\\>", "&gt;")


def code(text: object, limit: int = LONGEST) -> str:
    """`one_line` for the inside of a Markdown code span in a table."""
    return one_line(text, limit).replace("`", "'").replace("|", "¦")
