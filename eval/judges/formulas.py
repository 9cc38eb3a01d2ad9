"""The proxy judge's formulas: how well a text reads, and what it shares with the reference answer and the prompt."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

BROKEN_WEIGHT = 10.0
"""A tenth of broken characters makes the worst fluency."""
FREE_REPETITION = 0.2
"""Share of repeated 4-grams that ordinary text has."""
_BROKEN = re.compile(r"[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]|<unk>|\[UNK\]")
_FACT = re.compile(r"[々〆一-鿿]{2,}|[ァ-ヺー]{2,}|[a-z][a-z'-]{3,}|[0-9]+(?:[.,][0-9]+)*")
_ASKING_WORDS = (
    "教 方法 作 手順 説明 仕方 何 意味 理由 必要 簡単 詳 具体的 紹介 場合 質問 回答 存知 "
    "what when where which there their about does should would could with from have this that your they them "
    "please tell explain describe write give how"
)
_ASKING = frozenset(_ASKING_WORDS.split())
"""Runs that ask and are no subject."""


def scale(share: float) -> float:
    """A share in [0, 1] on the axes' scale: 1 + 4 share."""
    return 1.0 + 4.0 * min(max(share, 0.0), 1.0)


def fluency(text: str) -> float:
    """5 for whole, unrepeated text, down to 1; empty text is 1.

    1 + 4 (1 - min(1, 10 b)) (1 - min(1, max(0, r - 0.2) / 0.5)), with b the share of broken characters (replacement
    and control characters, unknown tokens) and r the share of character 4-grams that stood in the text before.
    """
    plain = "".join(text.split())
    if not plain:
        return 1.0
    broken = len(_BROKEN.findall(text)) / len(plain)
    grams = Counter(plain[i : i + 4] for i in range(max(len(plain) - 3, 1)))
    repeated = 1 - len(grams) / sum(grams.values())
    whole = 1 - min(1.0, BROKEN_WEIGHT * broken)
    return scale(whole * (1 - min(1.0, max(0.0, repeated - FREE_REPETITION) / 0.5)))


def accuracy(text: str, reference: str) -> float:
    """1 + 4 chrF / 100 (Popović 2015: character n-grams up to 6, beta 2) of the text against the reference."""
    from sacrebleu.metrics import CHRF

    return scale(float(CHRF().sentence_score(text, [reference]).score) / 100)


def facts(text: str) -> frozenset[str]:
    """Runs with a meaning: two or more kanji or katakana, Latin words of four letters, numbers (NFKC, lower case)."""
    return frozenset(_FACT.findall(unicodedata.normalize("NFKC", text).lower()))


def detail(text: str, reference: str) -> float | None:
    """1 + 4 times the share of the reference's facts that the text has; None where the reference has none."""
    return _covered(facts(reference), text)


def relevance(text: str, prompt: str) -> float | None:
    """1 + 4 times the share of the prompt's subject words that the text takes up; None where it has none."""
    return _covered(facts(prompt) - _ASKING, text)


def _covered(wanted: frozenset[str], text: str) -> float | None:
    if not wanted:
        return None
    plain = unicodedata.normalize("NFKC", text).lower()
    return scale(sum(fact in plain for fact in wanted) / len(wanted))
