"""Lists and constraints read out of what a model says, however it dresses them."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable

LONGEST_LINE = 200
"""Characters of a domain, topic or instruction at most: longer lines are talk beside the list."""
LONGEST_CONSTRAINT = 600
"""Characters of a constraint at most."""
_THOUGHT = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_BULLET = re.compile(r"^\s*(?:\*(?!\*)|[-•・●○◦–—]+|[(（]?\d{1,3}[.)）．、:：]|[①-⑳])\s*")
_HEADING = (":", "：")
_DECLINES = re.compile(
    r"(?:(?:(?:大変|誠に)?申し(?:訳|わけ)(?:ありません|ございません|ない)|すみません|ごめんなさい)(?:が|けれど|けど)|"
    r"残念ながら|恐れ入りますが)[^。\n]{0,80}(?:ません|かねます|お断り|控え)|"
    r"(?:i'm |i am )?(?:very |so |truly )?sorry,? but\b|"
    r"(?:i'm |i am )(?:sorry|not able to|unable to)\b|"
    r"i (?:can't|cannot|can not|won't|will not|must decline)(?: to)? "
    r"(?:help|assist|provide|write|create|generate|comply|do|fulfil|list|support)",
    re.IGNORECASE,
)
"""How a refusal opens. The proxy judge's classifier is for answers: it takes what users ask for evasion."""
_QUOTES = {"「": "」", "『": "』", '"': '"', "“": "”", "'": "'", "`": "`", "**": "**"}


def listed(text: str) -> list[str]:
    """The entries of a list, one a line or a JSON array of texts, each once; [] where the model declines to give one.

    Thoughts, bullets, numbers, quotes, headings and lines of more than 200 characters are dropped.
    """
    plain = _THOUGHT.sub("", text).strip()
    lines = _array(plain) or plain.splitlines()
    entries = [entry for line in lines if (entry := _entry(line))]
    if not entries or _declines(entries[0]):
        return []
    return distinct(entries)


def constraint(text: str) -> str | None:
    """A rewritten constraint in one paragraph; None where there is none, it is too long, or the model declines."""
    plain = _bare(" ".join(_THOUGHT.sub("", text).split()))
    if not plain or len(plain) > LONGEST_CONSTRAINT or _declines(plain):
        return None
    return plain


def distinct(texts: Iterable[str]) -> list[str]:
    """Each text once, in order; widths and case of letters do not tell two apart."""
    first: dict[str, str] = {}
    for text in texts:
        first.setdefault(unicodedata.normalize("NFKC", text).casefold(), text)
    return list(first.values())


def _array(text: str) -> list[str]:
    if not text.startswith("["):
        return []
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return [one for one in found if isinstance(one, str)]


def _entry(line: str) -> str:
    """A line without its dress; empty where it is no entry."""
    entry = _bare(_BULLET.sub("", line).strip())
    wordless = not any(letter.isalnum() for letter in entry)
    return "" if wordless or len(entry) > LONGEST_LINE or entry.endswith(_HEADING) else entry


def _bare(text: str) -> str:
    for opening, closing in _QUOTES.items():
        if len(text) > len(opening + closing) and text.startswith(opening) and text.endswith(closing):
            return text[len(opening) : -len(closing)].strip()
    return text


def _declines(text: str) -> bool:
    return _DECLINES.match(text.replace("’", "'")) is not None
