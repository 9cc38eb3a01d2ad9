"""Languages by their scripts: what is Japanese or English, and what is plainly not."""

from __future__ import annotations

import pytest

from trainer.synthesis.language import Scripts, is_in, scripts_of


def test_letters_are_counted_by_script() -> None:
    assert scripts_of("東京のcafé、３階！") == Scripts(kana=1, kanji=3, latin=4, letters=8)
    assert scripts_of("12 + 3 = 15") == Scripts(0, 0, 0, 0)
    assert scripts_of("ｶﾀｶﾅ ー 々 ＡＢ") == Scripts(kana=5, kanji=1, latin=2, letters=8)


@pytest.mark.parametrize(
    "text",
    [
        "はい。（手順は省略）",
        "東京都千代田区",
        "`kill -9 PID` でプロセスを終了できます。まず ps コマンドで番号を調べてください。",
        "42",
        "申し訳ありませんが、お答えできません。",
    ],
)
def test_japanese_is_known(text: str) -> None:
    assert is_in(text, "ja")


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "对不起，我不能回答这个问题，因为它可能会造成伤害。",
        "죄송하지만 답변할 수 없습니다.",
        "Извините, я не могу ответить.",
        "The dish is called 海鮮ばくだん, and it is made of tuna, squid, natto and a raw egg.",
    ],
)
def test_other_languages_are_not_japanese(text: str) -> None:
    assert not is_in(text, "ja")


@pytest.mark.parametrize(
    ("text", "english"),
    [
        ("Use `kill -9` to end the process.", True),
        ("The dish 海鮮ばくだん is made of tuna, squid and natto.", True),
        ("申し訳ありませんが、お答えできません。", False),
        ("Привет, hello", False),
        ("100 %", True),
    ],
)
def test_english_is_told_from_other_scripts(text: str, english: bool) -> None:
    assert is_in(text, "en") is english
