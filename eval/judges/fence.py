"""The fence around what a judge is shown: model text that can neither leave it nor pass for the server's own tokens.

A judge reads prompts and answers that nobody has checked. Each stands between `<<<NAME mark>>>` and `<<<END mark>>>`,
and whatever could be taken for such a line, for a chat template's token, or for nothing at all because it cannot be
seen, is shown in a form that a reader can still make out: `<\\<\\<END`, `<\\|im_start|>`, `\\u200b`. Everything else,
code and markup included, is shown as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mergescope.ground.ids import text_hash

LONGEST = 100_000
"""Characters of a text that the judge is shown."""
MARK_LETTERS = 12
"""Length of the mark: 48 bits of a hash over what it fences, which no text can know beforehand."""

_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
_INVISIBLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    r"\uffa0\ufff0-\ufffc\ufffe\uffff\U0001d173-\U0001d17a\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"
)
"""Characters without a shape: breaks, directions, fillers, tags (which spell ASCII that nobody sees)."""
_SURROGATES = r"\ud800-\udfff"
_WHOLE_FENCES = r"\u22d8\u22d9"
"""Single characters that look like three brackets."""
_JOINED = r"\u0300-\u13ff\u1680-\u1fff\u2600-\u2767\u27a1\ufe0f\U0001f000-\U0001faff"
"""What a joiner stands between in ordinary text: letters of scripts that join, and emoji."""
_SELECTORS = r"\ufe00-\ufe0f\U000e0100-\U000e01ef"
"""Variation selectors: one behind a character picks its form, more of them spell what nobody sees."""
_HIDDEN = re.compile(
    rf"([{_CONTROLS}{_INVISIBLE}{_SURROGATES}{_WHOLE_FENCES}]|(?<![{_JOINED}])[\u200c\u200d]"
    rf"|[\u200c\u200d](?![{_JOINED}])|(?<=[{_SELECTORS}])[{_SELECTORS}])\1*"
)
_OPENING = "<\uff1c\ufe64\u2039\u2329\u27e8\u3008\u276c\u276e\u2770\u02c2\u1438\u227a\u29fc\u16b2\U0001d236"
_OPENING_PAIR = "\u226a\u00ab\u300a\u27ea\u2a9d\u2aa1"
_CLOSING = ">\uff1e\ufe65\u203a\u232a\u27e9\u3009\u276d\u276f\u2771\u02c3\u1433\u227b\u29fd\u16b3\U0001d237"
_CLOSING_PAIR = "\u226b\u00bb\u300b\u27eb\u2a9e\u2aa2"
_PAIRS = frozenset(_OPENING_PAIR + _CLOSING_PAIR)
"""Brackets that look like two."""
_RUN = re.compile(rf"[{_OPENING}{_OPENING_PAIR}]{{2,}}|[{_CLOSING}{_CLOSING_PAIR}]{{2,}}")
_BRACKETED = re.compile(r"[<\uff1c\ufe64\[\uff3b](?=([^\s<>\uff1c\uff1e\[\]]{1,80}[>\uff1e\ufe65\]\uff3d]))")
_TOKEN = re.compile(
    r"<(?:\|[^|>]+\|?|[^|>]+\|)>"  # <|im_start|>, <|turn>, <turn|>
    r"|<(?i:/?(?:s|bos|eos|pad|unk|mask|cls|sep|sop|eop|eod|eot|think|thinking|tool_calls?|tool_responses?"
    r"|(?:start|end)_of_\w+|im_\w+|extra_id_\d+|unused_?\d+|reserved_\w+))>"
    r"|\[/?(?:INST|[gs]?MASK|BOS|EOS|PAD|UNK|CLS|SEP|SYSTEM_PROMPT|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS)\]"
)
"""Tokens of chat templates: servers that look for them in a request's text take what follows for another turn."""
_LLAMA_SYSTEM = re.compile(r"<(?=</?SYS>>)", re.IGNORECASE)


def fenced(parts: Sequence[tuple[str, str]], source: str) -> str:
    """Parts, each a name and a text, in their fences.

    source: the content id of the question; its end is the mark, or a hash of it where a text holds that by chance.
    """
    mark = _mark(source, [text for _, text in parts])
    return "\n\n".join(f"<<<{name} {mark}>>>\n{neutralised(text)}\n<<<END {mark}>>>" for name, text in parts)


def neutralised(text: str) -> str:
    """`text` as a judge is shown it, at most `LONGEST` characters, with nothing that UTF-8 cannot say.

    Characters that cannot be seen become their escapes, with a count where one is repeated (`\\u200b*40`); within runs
    of three angle brackets and more, look-alikes included, each but the first gets a backslash before it; tokens of
    chat templates get one behind their first bracket. Line ends become `\\n`.
    """
    seen = _HIDDEN.sub(_named, text[:LONGEST].replace("\r\n", "\n"))
    return _BRACKETED.sub(_broken_token, _LLAMA_SYSTEM.sub(r"<\\", _RUN.sub(_broken_run, seen)))[:LONGEST]


def _mark(source: str, texts: Sequence[str]) -> str:
    mark = source[-MARK_LETTERS:]
    while any(mark in text for text in texts):
        mark = text_hash(mark)[:MARK_LETTERS]
    return mark


def _named(match: re.Match[str]) -> str:
    code, count = ord(match[1]), len(match[0])
    name = f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    return name if count == 1 else f"{name}*{count}"


def _broken_run(match: re.Match[str]) -> str:
    looks_like = sum(2 if bracket in _PAIRS else 1 for bracket in match[0])
    return match[0] if looks_like < 3 else "\\".join(match[0])


def _broken_token(match: re.Match[str]) -> str:
    is_token = _TOKEN.fullmatch(unicodedata.normalize("NFKC", match[0] + match[1]))
    return f"{match[0]}\\" if is_token else match[0]
