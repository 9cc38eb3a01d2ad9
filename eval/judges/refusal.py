"""Whether a text refuses, without an LLM: none, partial or full, by what its sentences do.

A refusal is a speech act of the answerer: it says that it cannot or will not do what was asked (a verb of telling or
helping, negated), mostly with an apology in front. Quoted words are somebody else's. What remains of the text tells
full from partial: reasons, referrals and offers belong to the refusal; anything else is help.
"""

from __future__ import annotations

import unicodedata

from eval.judges.refusal_ja import classify_ja
from eval.judges.refusal_label import Language, Refusal
from eval.judges.refusal_weights import classify_english


def classify_refusal(text: str, language: Language, prompt: str | None = None) -> Refusal:
    """none (answers), partial (declines and yet helps) or full (declines); empty texts answer nothing: full.

    `prompt` is what was asked; None where it is not known.
    """
    plain = plain_text(text)
    if language == "en":
        return classify_english(plain, prompt)
    return classify_ja(plain, None if prompt is None else plain_text(prompt))


def plain_text(text: str) -> str:
    """NFKC, straight apostrophes, lower case."""
    return unicodedata.normalize("NFKC", text).replace("’", "'").lower()
