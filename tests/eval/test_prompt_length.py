"""How long prompts are, by a tokenizer or by their bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from eval import prompt_length as module
from eval.config import PromptSetFile
from eval.prompt_files import load_prompt_sets
from eval.prompt_length import TEMPLATE_TOKENS, prompt_length
from eval.prompts import PromptSet


def sets(folder: Path, *prompts: str) -> tuple[PromptSet, ...]:
    rows = [{"key": str(i), "kind": "benign", "prompt": p, "category": ["a"]} for i, p in enumerate(prompts)]
    (folder / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_prompt_sets([PromptSetFile(name="p", path=Path("p.jsonl"))], folder / "study.yaml", 0, Decimal("0.3"))


def words(folder: Path) -> Path:
    """A tokenizer that makes one token of each word."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def test_by_the_models_tokenizer(tmp_path: Path) -> None:
    found = prompt_length(sets(tmp_path, "one two three", "one two three four five"), words(tmp_path))
    assert found.tokens == 4 + TEMPLATE_TOKENS
    assert found.basis == "the tokenizer on 2 prompts"


def test_equal_prompts_count_once(tmp_path: Path) -> None:
    assert prompt_length(sets(tmp_path, "a", "a", "a b c"), words(tmp_path)).tokens == 2 + TEMPLATE_TOKENS


def test_texts_that_are_measured_do_not_count(tmp_path: Path) -> None:
    (one_set,) = sets(tmp_path, "a", "a b c")
    texts = replace(one_set, items=tuple(replace(item, kind="text") for item in one_set.items))
    mixed = replace(one_set, items=(one_set.items[0], texts.items[1]))
    assert prompt_length([mixed], words(tmp_path)).tokens == 1 + TEMPLATE_TOKENS
    for model in (words(tmp_path), None):
        assert prompt_length([texts], model).tokens == TEMPLATE_TOKENS


def test_by_bytes_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # 12 and 24 bytes of UTF-8
    japanese = sets(tmp_path, "質問です", "質問です質問です")
    assert prompt_length(japanese, None).tokens == 18 / 4 + TEMPLATE_TOKENS
    assert prompt_length(japanese, tmp_path).basis == "UTF-8 bytes / 4, no tokenizer read"
    monkeypatch.setattr(module, "TOKENIZER_LIMIT", 10)
    assert prompt_length(japanese, words(tmp_path)).tokens == 18 / 4 + TEMPLATE_TOKENS
