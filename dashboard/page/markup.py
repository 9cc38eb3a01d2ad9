"""Small pieces of HTML from escaped text: header strip, tables, chips, cards. The style sheet dresses them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from dashboard.page.inert import LONGEST, escaped, visible

_WORD = re.compile(r"[㐀-鿿々]+|[゠-ヿ]+|[A-Za-zÀ-ɏ']+|[0-9]+|.", re.DOTALL)
"""Runs of kanji, katakana, Latin letters or digits are words; hiragana, marks and blanks stand alone."""
DIFF_WORDS = 4_000
"""Longer answers are shown without a comparison: difflib is quadratic."""
BLUR = ' ms-blurred" aria-hidden="true'
"""Ends the class of what is blurred; readers who listen do not hear it before it is shown."""


@dataclass(frozen=True, slots=True)
class Card:
    """One answer on the Compare page; texts are raw and escaped here."""

    title: str
    verdict: str
    """In words."""
    tone: str
    """Name of the verdict: answered, partial, refused, unsafe or unscored."""
    segments: tuple[Segment, ...]
    scores: str
    reasons: tuple[str, ...]
    blurred: bool
    marks: tuple[str, ...]
    """Such as `cut at the token limit`."""
    text_id: str = ""
    """Of the answer: a reveal is logged with it (dashboard/people/reveals.py)."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of an answer: the same as in the first answer, or not."""

    text: str
    differs: bool


def strip(items: Sequence[tuple[str, str]], right: str) -> str:
    """The header strip: pairs of a number and what it counts, and a note at the right end."""
    cells = "".join(f"<span><b>{escaped(value)}</b> <i>{escaped(label)}</i></span>" for value, label in items)
    return f'<div class="ms-strip">{cells}<i class="ms-right">{escaped(right)}</i></div>'


def log(lines: Sequence[str], title: str) -> str:
    """Lines of a log in a box that can be scrolled."""
    text = "\n".join(escaped(line, 400) for line in lines)
    return f'<pre class="ms-log" role="region" tabindex="0" aria-label="{escaped(title)}">{text}</pre>'


def scrolled(inner: str, title: str) -> str:
    """HTML in a box of limited height that the keyboard can scroll."""
    return f'<div class="ms-scroll" role="region" tabindex="0" aria-label="{escaped(title)}">{inner}</div>'


def table(header: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> str:
    """A quiet table: first column left, the others right and with digits of one width."""
    head = "".join(f'<th scope="col">{escaped(cell)}</th>' if cell else "<td></td>" for cell in header)
    body = "".join(
        f'<tr><th scope="row">{escaped(row[0])}</th>'
        + "".join(f"<td>{escaped(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    parts = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<table class="ms-table" aria-label="{escaped(title)}">{parts}</table>'


def note(text: str, kind: Literal["quiet", "plain"] = "quiet") -> str:
    """A line of small text."""
    return f'<div class="ms-note ms-{kind}">{escaped(text)}</div>'


def titled(text: str, remark: str) -> str:
    """A card's title with a quiet remark at the right end."""
    return f'<div class="ms-titled">{heading(text)}<span class="ms-note ms-quiet">{escaped(remark)}</span></div>'


def progress(text: str, done: float, total: float) -> str:
    """A line of small text with a thin bar before it."""
    bar = f'<progress value="{done:g}" max="{max(total, 1):g}" aria-hidden="true"></progress>'
    return f'<div class="ms-note ms-live">{bar}<span>{escaped(text)}</span></div>'


def alert(text: str) -> str:
    """What went wrong, or what was refused, read out at once."""
    return f'<div class="ms-note ms-gate" role="alert">{escaped(text, 600)}</div>'


def heading(text: str) -> str:
    """A section's title."""
    return f'<h2 class="ms-heading">{escaped(text)}</h2>'


def card(value: Card, reveal: str) -> str:
    """One answer with its verdict; a blurred one has a check box `reveal` that unblurs it, by keyboard too."""
    body = "".join(
        f"<mark>{escaped(part.text)}</mark>" if part.differs else escaped(part.text) for part in value.segments
    )
    box = reveal_box(value.text_id, reveal) if value.blurred else ""
    marks = "".join(f'<span class="ms-mark">{escaped(mark)}</span>' for mark in value.marks)
    blur = BLUR if value.blurred else ""  # reasons as well: a judge may quote the answer
    reasons = "".join(f"<p>{escaped(reason, 2000)}</p>" for reason in value.reasons)
    return (
        f'<article class="ms-card"><header><b>{escaped(value.title)}</b>{chip(value.verdict, value.tone)}</header>{box}'
        f'<div class="ms-answer{blur}">{body}</div>'
        f"<footer>{marks}<span>{escaped(value.scores)}</span>"
        f'<div class="ms-reasons{blur}">{reasons}</div></footer></article>'
    )


def reveal_box(text_id: str, label: str) -> str:
    """The check box that shows what is blurred in its card (`.ms-card`), which `dashboard.people.reveals` hears."""
    tick = f'<input type="checkbox" data-reveals="{escaped(text_id)}">'
    return f'<label class="ms-reveal">{tick} {escaped(label)}</label>'


def chip(text: str, tone: str) -> str:
    """A verdict in a small coloured box; `tone` is the verdict's name."""
    return f'<span class="ms-chip ms-{escaped(tone)}">{escaped(text)}</span>'


def legend(entries: Sequence[tuple[str, str]], rest: str) -> str:
    """Verdict colours in words, as (tone, words), and a remark."""
    boxes = "".join(f'<span class="ms-key ms-{escaped(tone)}"></span>{escaped(text)} ' for tone, text in entries)
    return f'<div class="ms-note ms-quiet ms-legend">{boxes}<span>{escaped(rest)}</span></div>'


def differences(first: str, other: str) -> tuple[Segment, ...]:
    """`other` in runs that `first` has too or has not, by words (by characters in scripts without blanks)."""
    shown = visible(other)
    old, new = _words(visible(first)), _words(shown)
    if len(old) > DIFF_WORDS or len(new) > DIFF_WORDS:
        return (Segment(shown, False),)
    runs: list[Segment] = []
    for operation, _, _, start, stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if stop > start:
            runs.append(Segment("".join(new[start:stop]), operation != "equal"))
    return tuple(runs)


def plain(text: str) -> tuple[Segment, ...]:
    """A text without comparison."""
    return (Segment(text[: LONGEST + 1], False),)


def _words(text: str) -> list[str]:
    return _WORD.findall(text)
