"""How long prompts are in tokens, without loading a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.prompts import PromptSet

SAMPLE = 200
"""Prompts that are counted, spread evenly over the sets."""
TOKENIZER_LIMIT = 16_000_000
"""Bytes of the largest tokenizer.json that is read: larger ones take more than half a second."""
TEMPLATE_TOKENS = 20
"""Tokens that a chat template adds to a prompt: an assumption."""
BYTES_PER_TOKEN = 4
"""Bytes of UTF-8 a token where there is no tokenizer: about four letters of English, one or two characters of
Japanese; an assumption."""


@dataclass(frozen=True, slots=True)
class PromptLength:
    """An estimate of a prompt's length."""

    tokens: float
    """Mean tokens, the chat template's included."""
    basis: str
    """How it was found."""


def prompt_length(sets: Sequence[PromptSet], model: Path | None) -> PromptLength:
    """Mean length of the prompts that are answered, by the tokenizer in `model` where one is cheaply read."""
    texts = _texts(sets)
    texts = texts[:: max(1, len(texts) // SAMPLE)]
    file = None if model is None else model / "tokenizer.json"
    if file is None or not file.is_file() or file.stat().st_size > TOKENIZER_LIMIT:
        mean = sum(len(text.encode()) for text in texts) / (len(texts) or 1) / BYTES_PER_TOKEN
        return PromptLength(mean + TEMPLATE_TOKENS, f"UTF-8 bytes / {BYTES_PER_TOKEN}, no tokenizer read")
    from tokenizers import Tokenizer

    encoded = Tokenizer.from_file(str(file)).encode_batch(texts, add_special_tokens=False)
    mean = sum(len(one.ids) for one in encoded) / (len(texts) or 1)
    return PromptLength(mean + TEMPLATE_TOKENS, f"the tokenizer on {len(texts):,} prompts")


def _texts(sets: Sequence[PromptSet]) -> list[str]:
    """Every distinct prompt's turns as one text; texts that are measured and not answered are left out."""
    prompts = {item.prompt_id: item.messages for one_set in sets for item in one_set.items if item.kind != "text"}
    return ["\n".join(message["content"] for message in messages) for messages in prompts.values()]
