"""Texts that others wrote (models, judges, prompts, errors), made harmless before they reach a page or a file."""

from __future__ import annotations

import csv
import html
import io
import unicodedata
from collections.abc import Iterable, Sequence

LONGEST = 20_000
"""Characters of one text that a page shows; the rest is counted."""
_KEPT = "\n\t"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str, limit: int = LONGEST) -> str:
    """`text` with control, bidirectional, zero-width and lone-surrogate characters written as `<U+202E>`.

    Newlines and tabs stay. Texts longer than `limit` characters are cut and say how much is missing.
    """
    shown = "".join(_shown(character) for character in text[:limit])
    rest = len(text) - limit
    return shown if rest <= 0 else f"{shown} … (+{rest:,})"


def escaped(text: str, limit: int = LONGEST) -> str:
    """`visible` text for the inside of an HTML element or a quoted attribute."""
    return html.escape(visible(text, limit), quote=True)


def one_line(text: str, limit: int = 80) -> str:
    """`visible` text on one line of at most `limit` characters, for tables."""
    line = " ".join(text[: 4 * limit].split())
    return visible(line if len(line) <= limit else line[: limit - 1] + "…", 4 * limit)


def csv_bytes(header: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV file (UTF-8 with a mark, so that spreadsheets read Japanese) in which no cell can be a formula."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow([csv_cell(name) for name in header])
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return stream.getvalue().encode("utf-8-sig")


def csv_cell(value: object) -> object:
    """A number as it is, None as an empty cell, a text neutralised: `'` before a leading = + - @, tab or return."""
    if value is None or isinstance(value, int | float):
        return "" if value is None else value
    text = visible(str(value), limit=1_000_000)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _shown(character: str) -> str:
    if character in _KEPT:
        return character
    # Cc control, Cf format (bidi, zero-width), Cs surrogate, Co private, Zl and Zp separators
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return f"<U+{ord(character):04X}>"
    return character
