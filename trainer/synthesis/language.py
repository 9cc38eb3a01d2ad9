"""Whether a text is in the language that was asked for, by the share of its scripts. Pure text, no model.

Scripts tell Japanese from Chinese, Korean and what is written in Latin letters, and English from what is not; they do
not tell English from French.
"""

from __future__ import annotations

from dataclasses import dataclass

from eval.judges.refusal_label import Language

JAPANESE = 0.3
"""Least share of kana and kanji among a Japanese text's letters: code and names of products are in Latin ones."""
KANA = 0.1
"""Least share of kana among a Japanese text's kana and kanji: Chinese has none, and laws and lists have few."""
TELLING = 12
"""Kana and kanji from which a text without kana is not Japanese: 東京都千代田区 is."""
LATIN = 0.7
"""Least share of Latin letters in an English text."""

_KANA = (("\u3041", "\u3096"), ("\u309d", "\u309f"), ("\u30a1", "\u30fa"), ("\u30fc", "\u30ff"), ("\uff66", "\uff9d"))
_KANJI = (("\u3400", "\u4dbf"), ("\u4e00", "\u9fff"), ("\uf900", "\ufaff"), ("\u3005", "\u3007"))
_LATIN = (("A", "Z"), ("a", "z"), ("\u00c0", "\u024f"), ("\uff21", "\uff3a"), ("\uff41", "\uff5a"))


@dataclass(frozen=True, slots=True)
class Scripts:
    """How many letters of each script a text has; digits, signs and blanks are none."""

    kana: int
    kanji: int
    latin: int
    letters: int
    """All of them, other scripts included."""


def scripts_of(text: str) -> Scripts:
    """The letters of a text, counted."""
    letters = [letter for letter in text if letter.isalpha()]
    kana, kanji, latin = (sum(_within(letter, ranges) for letter in letters) for ranges in (_KANA, _KANJI, _LATIN))
    return Scripts(kana, kanji, latin, len(letters))


def is_in(text: str, language: Language) -> bool:
    """Whether a text may be in this language; one without letters (a number, a formula) may be in any."""
    found = scripts_of(text)
    if not found.letters:
        return True
    if language == "en":
        return found.latin >= LATIN * found.letters
    japanese = found.kana + found.kanji
    has_kana = found.kana >= KANA * japanese if japanese >= TELLING else True
    return japanese >= JAPANESE * found.letters and has_kana


def _within(letter: str, ranges: tuple[tuple[str, str], ...]) -> bool:
    return any(low <= letter <= high for low, high in ranges)
