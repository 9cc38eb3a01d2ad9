"""Which of several options an answer names: by its number or letter, or by its words. Pure text, no model."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LONGEST = 100_000
"""Characters of an answer that are looked at."""
LONGEST_OPTION = 500
"""Characters of an option in words that are looked at, so that no text is slow to read."""
_LABELS = {
    "number": r"(?<![\d.,\-−A-Za-z])\d{1,3}(?!\d|[.,]\d|[A-Za-z%つ年月日人個回時分秒円本])",
    "letter": r"(?<![A-Za-z'])(?:[B-HJ-Z]|[AI](?! [a-z]))(?![A-Za-z]|'[a-z])",
    "kana": r"(?<![ァ-ヶー])[ア-ン](?![ァ-ヶー])",
}
"""How each sort of label stands in a text: 3.5, -3, 3つ, letters of words, the article A and the pronoun I are none."""
_LISTED = {"number": r"\d{1,3}", "letter": "[A-Z]", "kana": "[ア-ン]"}
"""How it stands in a prompt's list, before a bracket or a point."""
_SMALL = r"(?<![A-Za-z'])(?:[b-z]|a(?! [a-z]))(?![A-Za-z]|'[a-z])"
"""A small letter, which is a label only where it is announced or stands alone."""
_WORD = (
    r"答え|答|正解|解答|回答|正答|正しい(?:もの|の|選択肢|番号)|適切な(?:もの|の|選択肢)"
    r"|answer|correct (?:option|choice|one)"
)
_LINK = r"[\s:=\-、,「『(\[{<\"']|は|が|is|would be|the|option|choice|number|選択肢|番号|boxed"
_JOIN = r"番?\s{0,2}(?:か|と|や|または|あるいは|もしくは|or|and|[,、/&])\s{0,2}"
_AFTER = r"\s?[)\]」』}>\"']?\s?(?:番目?)?\s?"
_DENIED = (
    rf"{_AFTER}(?:では[なあ]|じゃな|でな|でも[^。\n]{{0,12}}(?:な[いく]|ありません)|は(?:誤|間違|違|不正解)"
    r"|を?選(?:びません|ばな)|is(?: not|n't| wrong| incorrect))"
)
_SAID = rf"{_AFTER}(?:が|is)\s?(?:the )?(?:最も)?(?:正解|正しい|適切|答え|correct|right|best|answer)"
_CHOSEN = rf"{_AFTER}を?\s?選(?:び(?!ません)|ぶ|択し(?!ません))"
_SO = r"(?<![A-Za-z])(?:so|therefore|thus|hence|choose|pick|select|go with)[,:]?\s|(?:よって|したがって|ゆえに)[、,]?"
"""What comes before a conclusion."""
_END = rf"{_AFTER}(?:です|でした|である|だ)[。.!]?\s*\Z"
"""How an answer ends that ends in a label; what it says of other things (合計は4です) begins otherwise than `_TURN`."""
_TURN = r"(?:\A|[、。,\s]|[まで]すが|なく)"
_OPEN, _SHUT = r"[\s(\[{「『<\"']*", r"[\s)\]}」』>\"'.:、。,]*"
_EDGES = re.compile(r"^(?:(?![-−+.]\d)[\W_])+|[\W_]+$")
"""Punctuation around an option in words; the sign of a number is none."""
_NO_LABELS = re.compile(
    r"(?<![\d.])(?:\d{1,3}(?: ?[〜~] ?|-)\d{1,3}|(?:[A-Z]|[ア-ン]) ?[〜~] ?(?:[A-Z]|[ア-ン]))(?!\d)"
    r"|(?<![A-Za-z])[Nn]o\.\s?(?=\d)"
    r"|^\W{0,5}(?:\d{1,3}|[A-Z]|[ア-ン])[.):][^\n,、]{0,100}[-–—:]\s?(?:no|false|wrong|incorrect|×|誤り|不正解)\W*?$",
    re.MULTILINE,
)
"""Ranges such as 0〜4, the No. before a number, and lines of a list that end in a no: none of them names an option."""
_ENDING = re.compile(r"(?:です|でした|である|だ|になります|となります)$")


def right_label(reference: str) -> str | None:
    """The label that a reference such as `3`, `(3)`, `3番` or `b` is; None where the right option is given in words."""
    text = _plain(reference)[:LONGEST_OPTION]
    found = re.fullmatch(rf"{_OPEN}(\d{{1,3}}|[A-Za-z]|[ア-ン]){_SHUT}(?:番目?)?{_SHUT}", text)
    return None if found is None else _name(found[1])


def named_labels(answer: str, right: str, prompt: str) -> tuple[str, ...]:
    """The distinct labels that an answer names, in order; `right` tells what sort of labels these are.

    The first of these that finds any decides: lines that are labels and nothing else, if the first one is; the last
    label that is announced (答えは3, the answer is B, 3が正しい, 3を選びます, so B); labels at the start of a line or
    in a list; labels anywhere. A denied label (3ではなく, B is wrong) is not named, nor is a range (0〜4). Where the
    prompt lists labels, `right` among them, no others count.
    """
    sort = _sort(right)
    label = _LABELS[sort]
    text = _NO_LABELS.sub(" ", _plain(answer)).strip()
    offered = _offered(prompt, right)
    announced = _last(found for found in _announced(text, label, sort) if not offered or offered & _names(found.labels))
    for found in (_alone(text, sort), announced, _leading(text, label, sort), _labels(_find(label, text))):
        names = tuple(name for name in dict.fromkeys(map(_name, found)) if not offered or name in offered)
        if names:
            return names
    return ()


def named_texts(answer: str) -> tuple[str, ...]:
    """The option that an answer names in words, if any: what it announces last, else its first line; as `bare`."""
    text = _plain(answer)
    said = [match[1] for match in re.finditer(rf"(?i:{_WORD})(?:は|が|:|=| is\b)(.+?)(?:[。\n]|\.\s|$)", text)]
    found = (bare(one) for one in said[-1:] or text.split("\n", 1)[:1])
    return tuple(dict.fromkeys(one for one in found if one))


def bare(text: str) -> str:
    """A short text without case, width, quotes, punctuation and a closing です."""
    inner = _EDGES.sub("", _plain(text)[:LONGEST_OPTION].casefold())
    return _EDGES.sub("", _ENDING.sub("", inner))


def _plain(text: str) -> str:
    """NFKC (full-width and circled digits become plain ones) without marks of emphasis."""
    return re.sub(r"[*`\\$]", "", unicodedata.normalize("NFKC", text[:LONGEST])).strip()


def _name(label: str) -> str:
    return str(int(label)) if label.isdigit() else label.upper()


def _sort(right: str) -> str:
    return "number" if right.isdigit() else "letter" if right.isascii() else "kana"


def _offered(prompt: str, right: str) -> frozenset[str]:
    """The labels that a prompt lists; empty where it lists fewer than two, or not the right one."""
    found = re.findall(rf"(?:^|[\s(\[,、:;/])({_LISTED[_sort(right)]})\s?[)\].:、](?!\d)", _plain(prompt), re.MULTILINE)
    labels = frozenset(map(_name, found))
    if len(labels) > 1 and right in labels:
        return labels
    return frozenset()


@dataclass(frozen=True, slots=True)
class _Found:
    """Labels that stand joined in a text, and where."""

    start: int
    end: int
    labels: tuple[str, ...]


def _alone(text: str, sort: str) -> list[str]:
    """The labels of lines that hold nothing else, where the first line is such a one."""
    label = "[A-Za-z]" if sort == "letter" else _LISTED[sort]
    found = [re.fullmatch(rf"{_OPEN}({label}){_SHUT}", line[:LONGEST_OPTION]) for line in text.split("\n")]
    return [match[1] for match in found if match is not None] if found[0] is not None else []


def _announced(text: str, label: str, sort: str) -> Iterator[_Found]:
    either = f"(?:{label}|{_SMALL})" if sort == "letter" else label
    yield from _find(either, text, before=rf"(?i:{_WORD}|boxed)(?i:{_LINK}){{0,8}}")
    yield from _find(label, text, after=rf"(?i:{_SAID})")
    yield from _find(label, text, after=_CHOSEN)
    yield from _find(label, text, before=rf"(?i:{_SO})(?:option |選択肢)?")
    yield from _find(label, text, before=_TURN, after=_END)


def _last(found: Iterable[_Found]) -> tuple[str, ...]:
    """The labels that stand last; a part of joined labels is not a later one."""
    last = _Found(-1, -1, ())
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if one.start >= last.end:
            last = one
    return last.labels


def _leading(text: str, label: str, sort: str) -> Iterator[str]:
    start = r"(?m:^)[ >#\-・(\[「『{]*"
    alone = re.fullmatch(r"\W*([a-z])\W*(?:です|だ)?\W*", text[:LONGEST_OPTION])
    if sort == "letter" and alone is not None:
        yield alone[1]
    if sort == "letter":
        yield from _labels(_find(_SMALL, text, before=start, after=r"[).](?:\s|$)"))
    yield from _labels(_find(label, text, before=start))
    yield from _labels(_find(label, text, before=r"[\s(\[]", after=r"[).:](?:\s|$)"))


def _find(label: str, text: str, before: str = "", after: str = "") -> Iterator[_Found]:
    """The labels that stand between `before` and `after`, and those joined to them by an or or an and."""
    one = rf"(?<![Nn]ot ){label}(?!(?i:{_DENIED}))"
    for match in re.finditer(rf"{before}({one}(?:(?i:{_JOIN}){one}){{0,9}}){after}", text):
        yield _Found(match.start(1), match.end(1), tuple(re.findall(one, match[1])))


def _labels(found: Iterable[_Found]) -> Iterator[str]:
    for one in found:
        yield from one.labels


def _names(labels: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_name, labels))
