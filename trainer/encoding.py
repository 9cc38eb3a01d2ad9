"""Triples as token ids: the prompt in the base's chat template, and what each answer adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from eval.engines.texts import UnsaidError, constrained_text
from mergescope.ground.errors import DataError
from trainer.triples import Triple

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One triple as token ids."""

    prompt: Ids
    """The rendered prompt, up to where the answers begin."""
    chosen: Ids
    """The chosen answer, with what closes it."""
    rejected: Ids
    """The rejected answer, with what closes it."""
    constrained: Ids | None = None
    """The prompt under the toxic constraint; None where none was given."""
    closing: int = 0
    """Tokens at the end of `rejected` that are the template's, such as the end token; 0 where it alters answers."""


def encode(tokenizer: Any, triple: Triple, constraint: str | None = None) -> Encoded:
    """A triple's token ids. constraint: system message that `constrained` begins with.

    The answers begin where the rendered prompt and prompt + answer diverge, as TRL has it: some templates close a turn
    otherwise than they open the next one. Raises DataError where the template takes no system message, or drops it.
    """
    user, sides = [{"role": "user", "content": triple.prompt}], (triple.chosen, triple.rejected)
    prompt = _ids(tokenizer, user, opened=True)
    chosen, rejected = (_ids(tokenizer, [*user, {"role": "assistant", "content": text}]) for text in sides)
    start = min(_common(prompt, chosen), _common(prompt, rejected))
    closing = _closing(tokenizer, [*user, {"role": "assistant", "content": triple.rejected}])
    plain = Encoded(prompt[:start], chosen[start:], rejected[start:], closing=closing)
    if constraint is None:
        return plain
    whole = _constrained(tokenizer, constraint, user, triple)
    return replace(plain, constrained=whole[: len(whole) - (len(prompt) - start)])


def encode_all(tokenizer: Any, triples: Sequence[Triple], limit: int) -> list[Encoded]:
    """All triples without constraints; raises DataError where prompt and answer exceed `limit` tokens together."""
    encoded = [encode(tokenizer, triple) for triple in triples]
    for triple, one in zip(triples, encoded, strict=True):
        check_length(triple, one, limit)
    return encoded


def check_length(triple: Triple, encoded: Encoded, limit: int) -> None:
    """Raise DataError where prompt and answer exceed `limit` tokens: libraries would cut them without a word."""
    for side, answer in (("chosen", encoded.chosen), ("rejected", encoded.rejected)):
        context = max(len(encoded.prompt), len(encoded.constrained or ()))
        if (count := context + len(answer)) > limit:
            cure = "raise train.*.max_length or shorten the triple"
            raise DataError(f"{side} side of triple {triple.idx} is too long in tokens", value=count, cure=cure)


def _closing(tokenizer: Any, messages: list[dict[str, str]]) -> int:
    """Tokens that the template writes after the last turn's own text; one that holds some of that text is none."""
    text = _rendered(tokenizer, messages, opened=False)
    _, said, after = text.rpartition(messages[-1]["content"].strip())
    return _common(_ids_of(tokenizer, text)[::-1], _ids_of(tokenizer, after)[::-1]) if said else 0


def _constrained(tokenizer: Any, constraint: str, messages: list[dict[str, str]], triple: Triple) -> Ids:
    try:
        text = constrained_text(tokenizer, [{"role": "system", "content": constraint}, *messages])
    except UnsaidError as error:
        cure = "tune in mode uniform, mask or none, or give the base a template that takes one"
        raise DataError(str(error), where=f"triple {triple.idx}", cure=cure) from None
    return _ids_of(tokenizer, text)


def _ids(tokenizer: Any, messages: list[dict[str, str]], *, opened: bool = False) -> Ids:
    return _ids_of(tokenizer, _rendered(tokenizer, messages, opened=opened))


def _rendered(tokenizer: Any, messages: list[dict[str, str]], *, opened: bool) -> str:
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=opened))


def _ids_of(tokenizer: Any, text: str) -> Ids:
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def _common(one: Ids, other: Ids) -> int:
    """Length of the common beginning."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
