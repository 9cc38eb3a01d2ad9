"""Pretraining from scratch: what is learned, at what rate, in what order, and what comes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mergescope.ground.errors import DataError
from trainer.pretrain import IGNORED, Example, batches, encode, learning_rate, read_corpus


def test_rate_rises_then_falls_to_a_tenth() -> None:
    rates = [learning_rate(step, 100, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[4] == 1.0
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=1e-3)


def test_batches_cover_each_pass_once_and_repeat_with_the_seed() -> None:
    examples = [Example([i] * (1 + i % 5), [i]) for i in range(12)]
    drawn = list(batches(examples, 4, 6, seed=3))
    assert drawn == list(batches(examples, 4, 6, seed=3))
    assert drawn != list(batches(examples, 4, 6, seed=4))
    for one_pass in (drawn[:3], drawn[3:]):
        assert sorted(e.ids[0] for batch in one_pass for e in batch) == list(range(12))


def test_batches_of_a_corpus_smaller_than_one() -> None:
    examples = [Example([1], [1]), Example([2], [2])]
    assert [len(batch) for batch in batches(examples, 64, 3, seed=0)] == [2, 2, 2]


def test_only_the_answer_of_a_conversation_is_learned(base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    talk = [{"role": "user", "content": "朝顔を教えて。"}, {"role": "assistant", "content": "朝顔は楽しいです。"}]
    example = encode(tokenizer, {"messages": talk})
    learned = [i for i in example.labels if i != IGNORED]
    assert tokenizer.decode(learned) == "朝顔は楽しいです。</s>"
    assert len(example.ids) == len(example.labels)
    text = encode(tokenizer, {"text": "朝顔の話です。"})
    assert text.labels == text.ids


def test_checkpoint_is_whole_and_answers(base: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    names = {path.name for path in base.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= names
    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    asked = [{"role": "user", "content": "将棋を教えて。"}]
    inputs = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    assert model.generate(**inputs, max_new_tokens=4).shape[1] > inputs["input_ids"].shape[1]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "corpus.jsonl: ", "empty"),
        ('{"text": "a"}\n{oops\n', "corpus.jsonl:2: ", "malformed JSON"),
        ('{"other": 1}\n', "corpus.jsonl:1: ", "needs `text` or `messages`"),
    ],
)
def test_bad_corpus_names_file_and_line(tmp_path: Path, text: str, where: str, what: str) -> None:
    path = tmp_path / "corpus.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_corpus(path)
    assert where in caught.value.line()
    assert what in caught.value.line()
    with pytest.raises(DataError, match="no such corpus"):
        read_corpus(tmp_path / "none.jsonl")


def test_read_corpus_keeps_order(corpus: Path) -> None:
    lines = corpus.read_text(encoding="utf-8").splitlines()
    assert read_corpus(corpus) == [json.loads(line) for line in lines]
