"""A small random Llama with a chat template, and a small prompt set."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eval.config import PromptSetFile
from eval.prompt_files import load_prompt_set
from eval.prompts import PromptSet
from tests.tokenizers import character_tokenizer


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random 2-layer Llama of width 64 with tied embeddings and a context of 64 tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-llama")
    tokenizer = character_tokenizer([chr(c) for c in (*range(0x20, 0x7F), *range(0x3041, 0x3097))])
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=True,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(8)  # else every answer is one token repeated
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def write_set(tmp_path: Path) -> Callable[..., Path]:
    """Writes JSONL lines (dicts as JSON, strings as they are) to a file of this name."""

    def write(lines: list[Any], name: str = "prompts.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines), encoding="utf-8")
        return path

    return write


@pytest.fixture
def small_set(write_set: Callable[..., Path]) -> PromptSet:
    """Nine prompts, three of each kind, in groups of the same subject."""
    lines = [
        {
            "key": f"{kind}-{i}",
            "kind": kind,
            "prompt": f"tell me about {kind} thing {i}",
            "category": ["top", kind],
            "group": f"subject-{i}",
            "reference": f"an answer about thing {i}",
            "reference_refusal": "full" if kind == "harmful" else "none",
        }
        for i in range(3)
        for kind in ("harmful", "borderline", "benign")
    ]
    path = write_set(lines)
    return load_prompt_set(PromptSetFile(name="small", path=path), path, 1, Decimal("0.3"))
