"""From conversations and texts to tokens, the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from eval.identity import Message
from mergescope.ground.errors import CheckpointError


def chat_tokens(tokenizer: Any, messages: Sequence[Message], folder: Path) -> list[int]:
    """A conversation up to where the model speaks, by its chat template.

    folder: where the tokenizer lies. Raises CheckpointError where the template refuses the conversation.
    """
    try:
        text = tokenizer.apply_chat_template([dict(m) for m in messages], add_generation_prompt=True, tokenize=False)
    except TemplateError as error:
        raise CheckpointError(f"the chat template refuses a prompt: {error}", where=folder) from None
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def plain_tokens(tokenizer: Any, text: str) -> list[int]:
    """A text after the tokenizer's own BOS, if it has one, and without a chat template."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids if tokenizer.bos_token_id is None else [tokenizer.bos_token_id, *ids]
