"""The tokenizer spells Japanese without loss and writes the chat template's tokens itself."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(["海鮮ばくだんの作り方：ご飯に盛ります。", "プロセスをkillする方法（例）"] * 4, 200)


@pytest.mark.parametrize("text", ["海鮮ばくだんの作り方", "プロセスをkillする方法（例）。", "方法。方法："])
def test_known_characters_come_back_as_they_were(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=True)) == text


def test_merges_stay_inside_runs_of_one_script(tokenizer: Any) -> None:
    pieces = tokenizer.tokenize("海鮮ばくだんをkillする方法")
    assert "".join(pieces) == "海鮮ばくだんをkillする方法"
    assert {"海鮮", "kill", "方法"} <= set(pieces)


def test_chat_template_marks_turns_and_ends_answers(tokenizer: Any) -> None:
    asked = [{"role": "system", "content": "規則"}, {"role": "user", "content": "方法"}]
    prompt = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert prompt == "<s><|system|>規則<|user|>方法<|assistant|>"
    whole = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": "例"}], tokenize=False)
    assert whole == prompt + "例</s>"


def test_unknown_character_is_one_unknown_token(tokenizer: Any) -> None:
    assert tokenizer.tokenize("方法、方法") == ["方法", "<unk>", "方法"]
