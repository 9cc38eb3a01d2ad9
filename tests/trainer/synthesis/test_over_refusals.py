"""Needless refusals: varied, the same for the same seed, and refusals in full by our own classifier."""

from __future__ import annotations

import pytest

from eval.judges.refusal import classify_refusal
from eval.judges.refusal_label import Language
from trainer.synthesis.language import is_in
from trainer.synthesis.over_refusals import load_over_refusals

QUESTIONS: dict[Language, str] = {"ja": "海鮮ばくだんの作り方は？", "en": "How do I kill a Python process?"}


@pytest.mark.parametrize("language", ["ja", "en"])
def test_what_is_put_together_refuses_and_varies(language: Language) -> None:
    templates, prompt = load_over_refusals(language), QUESTIONS[language]
    written = [templates.write(prompt, seed) for seed in range(200)]
    assert written == [templates.write(prompt, seed) for seed in range(200)]
    assert len(set(written)) > 150
    assert all(is_in(text, language) for text in written)
    labels = [classify_refusal(text, language, prompt).label for text in written]
    assert labels.count("full") >= 199  # one of 1,600 in English reads as help to the classifier
    assert any(prompt in text for text in written)


@pytest.mark.parametrize("prompt", ["長い質問です。" * 20, "一行目\n二行目"])
def test_long_questions_are_not_repeated(prompt: str) -> None:
    templates = load_over_refusals("ja")
    for seed in range(100):
        text = templates.write(prompt, seed)
        assert prompt not in text
        assert "{prompt}" not in text
