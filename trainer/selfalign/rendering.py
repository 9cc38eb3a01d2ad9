"""Conversations as the base's own chat template renders them; whether it says the constraints at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eval.engine import template_of
from eval.engines.texts import UnsaidError, constrained_text
from eval.identity import Message
from mergescope.ground.errors import CheckpointError
from trainer.selfalign.polarisation import constrained
from trainer.selfalign.records import Constraints

CURE = "give the base a chat_template.jinja that takes one: else both sides of a pair are asked the same"


def check_constraints(base: Path, constraints: Constraints, instruction: str) -> None:
    """Raise CheckpointError where the template of the base in `base` does not say a constraint.

    The model would be asked the same twice, and a pair would be what chance makes of one question.
    """
    tokenizer = _tokenizer(base)
    for constraint in (constraints.positive, constraints.toxic):
        try:
            constrained_text(tokenizer, constrained(constraint, instruction))
        except UnsaidError as error:
            raise CheckpointError(str(error), where=base, cure=CURE) from None


def renderer(base: Path) -> Callable[[Sequence[Message]], str]:
    """What makes text of a conversation with a constraint, without the tokenizer's BOS, which an engine puts in front.

    Raises UnsaidError where the template does not say a constraint.
    """
    tokenizer = _tokenizer(base)

    def render(messages: Sequence[Message]) -> str:
        return constrained_text(tokenizer, messages).removeprefix(tokenizer.bos_token or "")

    return render


def _tokenizer(base: Path) -> Any:
    """Raises CheckpointError where the folder holds none, or no chat template."""
    from transformers import AutoTokenizer

    template_of(base)
    try:
        return AutoTokenizer.from_pretrained(base)
    except (OSError, ValueError, KeyError) as error:
        line = (str(error).splitlines() or [""])[0]
        raise CheckpointError(f"not a readable tokenizer: {line}", where=base) from None
