"""Texts that others wrote (models, judges, prompts, errors), made harmless before they reach a page or a file."""

from __future__ import annotations

import csv
import html
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

LONGEST = 20_000
"""Characters of one text that a page shows; the rest is counted."""
_KEPT = "\n\t"
_MARKS = re.compile(r"[\\`*_\[\]<>$:~#|!&^{}]|^[-+=]|(?<=^\d)[.)]")
"""What begins something in Markdown, or in Streamlit's own directives; a backslash before it takes that away."""
_ADDRESS = re.compile(r":(?=//)|\bwww(?=\.)|@(?=\w)", re.IGNORECASE)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str, limit: int = LONGEST) -> str:
    """`text` with control, bidirectional, zero-width and lone-surrogate characters written as `<U+202E>`.

    Newlines and tabs stay. Texts longer than `limit` characters are cut and say how much is missing.
    """
    shown = text[:limit].translate(_SHOWN)
    rest = len(text) - limit
    return shown if rest <= 0 else f"{shown} … (+{rest:,})"


def escaped(text: str, limit: int = LONGEST) -> str:
    """`visible` text for the inside of an HTML element or a quoted attribute."""
    return html.escape(visible(text, limit), quote=True)


def one_line(text: str, limit: int = 80) -> str:
    """`visible` text on one line of at most `limit` characters, for tables."""
    line = " ".join(text[: 4 * limit].split())
    return visible(line if len(line) <= limit else line[: limit - 1] + "…", 4 * limit)


def label(text: str, limit: int = 120) -> str:
    """`one_line` text for a widget's label, which Streamlit reads as Markdown: no mark, directive or link in it acts.

    Addresses are parted by a blank: Markdown makes links of them even where every sign is escaped.
    """
    parted = _ADDRESS.sub(r"\g<0> ", one_line(text, limit))
    return _MARKS.sub(r"\\\g<0>", parted)


def labels(texts: Sequence[str], limit: int = 60) -> dict[str, str]:
    """Each text on one line for a list of options, by the text; equal lines are told apart by a number."""
    lines: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for text in dict.fromkeys(texts):
        line = one_line(text, limit)
        counts[line] += 1
        lines[text] = line if counts[line] == 1 else f"{line} ({counts[line]})"
    return lines


def file_name(name: str) -> str:
    """A download's name: letters, digits, dots, hyphens and underscores alone; no dot in front, at most 80."""
    kept = re.sub(r"[^\w.-]+", "-", name.encode("utf-8", "replace").decode())
    return kept.lstrip(".-")[-80:].lstrip(".-") or "file"


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


class _Shown(dict[int, str]):
    """What is shown for a character, by its code; worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        # Cc control, Cf format (bidi, zero-width), Cs surrogate, Co private, Zl and Zp separators
        hidden = character not in _KEPT and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        self[code] = f"<U+{code:04X}>" if hidden else character
        return self[code]


_SHOWN = _Shown()
