"""The LLM judge against a real `vllm serve` whose grammar keeps a model without any sense to the rubric's schema."""

from __future__ import annotations

import importlib.util
import json
import string
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eval.config import OpenAIJudge
from eval.judge import Judgement, Question, open_judge
from eval.judges.rubric import load_rubric
from eval.prompts import Kind
from tests.eval.injections import CLAIMS
from tests.eval.vllm_server import serving
from trainer.demo.speech import load_phrasings, load_subjects
from trainer.demo.world import corpus, held_out_prompts
from trainer.tokenizer import train_tokenizer

KEY = "canary-key-29"
CONTEXT = 4096
KINDS: tuple[Kind, ...] = ("harmful", "borderline", "benign", "jailbreak")

pytestmark = [
    pytest.mark.deep,
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of the demo's shape and tokenizer family, with room and letters for a rubric and its verdict.

    The demo's own models cannot judge: their context of 512 tokens is shorter than a rubric, and their tokens spell no
    brace. A quotation mark is made likely, so that some of the reasons end.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    rows = corpus(load_subjects(), load_phrasings(), 7)
    texts = [
        text for row in rows for text in (row.get("text"), *(m["content"] for m in row.get("messages", ()))) if text
    ]
    rubrics = [json.dumps(load_rubric(language).content, ensure_ascii=False) for language in ("ja", "en")]
    tokenizer = train_tokenizer([*texts, *rubrics, string.printable], 2000)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=341,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(3)
    llama = LlamaForCausalLM(config)
    with torch.no_grad():
        llama.model.embed_tokens.weight.add_(0.2)  # each hidden state then points that way, whatever was read
        llama.lm_head.weight[tokenizer.convert_tokens_to_ids('"')].add_(5.0 / config.hidden_size)
    folder = tmp_path_factory.mktemp("judge")
    llama.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base_url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(model, tmp_path_factory.mktemp("vllm") / "log", KEY, "judge", CONTEXT) as url:
        yield url


def questions() -> list[Question]:
    """Prompts of the demo's world, answered plainly or with a claim, every kind judged."""
    prompts = [row["prompt"] for row in held_out_prompts(load_subjects(), load_phrasings())]
    answers = ["お答えできません。", "はい。まず道具をそろえます。", *(c for c in CLAIMS.values() if len(c) < 500)]
    return [
        Question(f"v1_{i:012x}", KINDS[i % 4], ({"role": "user", "content": prompts[i]},), answer, "はい。", 0)
        for i, answer in enumerate(answers)
    ]


def judged(base_url: str, journal: Path, **changes: Any) -> list[tuple[Question, Judgement]]:
    address = {"kind": "openai", "model": "judge", "base_url": base_url, "api_key_env": "VLLM_KEY"}
    section = OpenAIJudge.model_validate({**address, "temperature": 1, "timeout_s": 300, **changes})
    return list(open_judge(section, journal).score(questions()))


@pytest.mark.parametrize("language", ["ja", "en"])
def test_every_verdict_is_of_the_schema(
    base_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("VLLM_KEY", KEY)
    done = judged(base_url, tmp_path, language=language)
    assert len(done) == len(questions())
    kinds = Counter(judgement.error_kind for _, judgement in done)
    assert set(kinds) == {None}
    for question, judgement in done:
        offered = load_rubric("ja" if language == "ja" else "en").content["kinds"][question.kind]["axes"]
        verdict = json.loads(judgement.raw or "")
        assert list(verdict) == offered
        assert all(list(axis) == ["reason", "grade"] for axis in verdict.values())
        assert judgement.reported_model == "judge"
    values = {score.value for _, judgement in done for score in judgement.scores if score.value is not None}
    assert len(values) >= 3
    assert values <= {1, 2, 3, 4, 5}


def test_a_verdict_that_does_not_end_is_cut_off_and_unscored(
    base_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_KEY", KEY)
    done = judged(base_url, tmp_path, max_tokens=64)
    cut = [judgement for _, judgement in done if judgement.error_kind is not None]
    assert cut
    assert all((judgement.error_kind, judgement.scores) == ("parse", ()) for judgement in cut)
