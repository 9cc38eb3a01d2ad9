"""Jailbreak wrappers: harmful prompts asked once more, in the ways that published attacks ask them."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import TYPE_CHECKING, Literal

import yaml

from mergescope.ground.errors import DataError

if TYPE_CHECKING:
    from eval.prompts import Item

_JAPANESE = re.compile(r"[々〆ぁ-ゖァ-ヺ一-鿿]")


@dataclass(frozen=True, slots=True)
class Wrapper:
    """One way to press for an answer."""

    name: str
    turns: Mapping[Literal["en", "ja"], tuple[str, ...]]
    """By the prompt's language: the user's turn with {prompt} or {base64} in it, and those asked after the answer."""


@functools.cache
def wrappers() -> Mapping[str, Wrapper]:
    """The wrappers that come with this version, by name."""
    text = (resources.files("eval") / "wrappers" / "jailbreak.yaml").read_text(encoding="utf-8")
    described = yaml.safe_load(text)["wrappers"]
    return {name: Wrapper(name, {"en": tuple(one["en"]), "ja": tuple(one["ja"])}) for name, one in described.items()}


def wrapped(items: Sequence[Item], names: Sequence[str], place: str) -> tuple[Item, ...]:
    """The items, and after each harmful one the same prompt in each of the named wrappers, as kind jailbreak.

    Such an item is called `KEY~WRAPPER` and has its prompt's group, split and reference. Its category is the wrapper's
    name, then the prompt's first two levels, so that metrics of the scope `category:WRAPPER` are the wrapper's own. It
    has no reference_refusal: refusal F1 stays that of the plain prompts. Raises DataError for a name that is unknown
    or stands twice, for a set without harmful items, and for a key that is taken. place: where a recipe names them.
    """
    if not names:
        return tuple(items)
    chosen = [_wrapper(name, place) for name in names]
    if twice := next((name for name in names if list(names).count(name) > 1), None):
        raise DataError("the same wrapper stands twice", where=place, value=twice, cure="keep one")
    found = tuple(_with_jailbreaks(items, chosen))
    if len(found) == len(items):
        cure = "drop `wrappers`, or name them at the set with the harmful items"
        raise DataError("wrappers for a set without harmful items", where=place, value=list(names), cure=cure)
    _check_keys(found, place)
    return found


def _wrapper(name: str, place: str) -> Wrapper:
    if name not in wrappers():
        raise DataError("no such wrapper", where=place, value=name, cure=f"use {', '.join(sorted(wrappers()))}")
    return wrappers()[name]


def _check_keys(items: Sequence[Item], place: str) -> None:
    seen: set[str] = set()
    for item in items:
        if item.key in seen:
            cure = "give the line another key: `KEY~WRAPPER` is that of a wrapped prompt"
            raise DataError("`key` is taken by a wrapped prompt", where=place, value=item.key, cure=cure)
        seen.add(item.key)


def _with_jailbreaks(items: Sequence[Item], chosen: Sequence[Wrapper]) -> Iterator[Item]:
    for item in items:
        yield item
        if item.kind == "harmful":
            yield from (_jailbreak(item, wrapper) for wrapper in chosen)


def _jailbreak(item: Item, wrapper: Wrapper) -> Item:
    prompt = item.messages[-1]["content"]
    turns = wrapper.turns["ja" if _JAPANESE.search(prompt) else "en"]
    asked = tuple({"role": "user", "content": _filled(turn, prompt)} for turn in turns)
    return replace(
        item,
        key=f"{item.key}~{wrapper.name}",
        kind="jailbreak",
        messages=(*item.messages[:-1], *asked),
        category=(wrapper.name, *item.category[:2]),
        reference_refusal=None,
    )


def _filled(turn: str, prompt: str) -> str:
    """One pass, so that a prompt that holds `{base64}` itself is left as it is."""
    encoded = base64.b64encode(prompt.encode()).decode()
    return re.sub(r"\{(prompt|base64)\}", lambda place: prompt if place[1] == "prompt" else encoded, turn)
