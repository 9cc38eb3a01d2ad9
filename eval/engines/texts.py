"""From conversations and texts to tokens, the same for every engine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.identity import Message
from mergescope.ground.errors import CheckpointError

LEFT_OUT = "the chat template leaves out what a system message says"
"""llm-jp-3's says a sentence of its own there, others say nothing."""
MARK = "5d0f1c7e-system"


class UnsaidError(Exception):
    """A chat template refuses system messages or leaves them out; its text says which, for the user."""


def chat_tokens(tokenizer: Any, messages: Sequence[Message], folder: Path) -> list[int]:
    """A conversation up to where the model speaks, by its chat template.

    folder: where the tokenizer lies. Raises CheckpointError where the template refuses the conversation, or leaves out
    what a system message in it says: the model would be asked something else.
    """
    from jinja2 import TemplateError

    try:
        text = _opened(tokenizer, messages)
    except TemplateError as error:
        raise CheckpointError(f"the chat template refuses a prompt: {error}", where=folder) from None
    if not _says_all(tokenizer, messages):
        cure = "leave prompts with a system message out, or give the model a template that takes one"
        raise CheckpointError(LEFT_OUT, where=folder, cure=cure)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def constrained_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """A conversation with a system message, up to where the model speaks; raises UnsaidError."""
    from jinja2 import TemplateError

    try:
        text = _opened(tokenizer, messages)
    except TemplateError as error:
        raise UnsaidError(f"the chat template takes no system message: {error}") from None
    if not _says_all(tokenizer, messages):
        raise UnsaidError(LEFT_OUT)
    return text


def _opened(tokenizer: Any, messages: Sequence[Message]) -> str:
    turns = [dict(message) for message in messages]
    return str(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


def _says_all(tokenizer: Any, messages: Sequence[Message]) -> bool:
    """Whether every system message would be said: a mark that no prompt holds is looked for in its place."""
    marks = {n: f"{MARK}-{n}-" for n, message in enumerate(messages) if message["role"] == "system"}
    if not marks:
        return True
    marked = [{**one, "content": marks.get(n, one["content"])} for n, one in enumerate(messages)]
    text = _opened(tokenizer, marked)
    return all(mark in text for mark in marks.values())


def plain_tokens(tokenizer: Any, text: str) -> list[int]:
    """A text after the tokenizer's own BOS, if it has one, and without a chat template."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids if tokenizer.bos_token_id is None else [tokenizer.bos_token_id, *ids]
