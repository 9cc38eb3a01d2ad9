"""How long prompts and answers are, in tokens where there is a tokenizer and in characters where there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mergescope.ground.errors import CheckpointError
from trainer.triples import Triple

Part = Literal["prompt", "chosen", "rejected", "whole"]
"""whole: the prompt and the longer answer, in the chat template where there is one."""


@dataclass(frozen=True, slots=True)
class Ruler:
    """What lengths are measured with."""

    unit: Literal["tokens", "characters"]
    count: Callable[[Sequence[str]], list[int]]
    """Lengths of texts."""
    render: Callable[[str, str], str]
    """Prompt and answer as one text, as they are trained on."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long one part of the triples is."""

    part: Part
    median: float
    high: float
    """95 % are at most so long."""
    longest: int
    idx: str
    """The triple of the longest."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """All of it."""

    unit: Literal["tokens", "characters"]
    parts: tuple[Length, ...]
    """None where there are no triples."""
    chosen_longer: float
    """Share of triples whose chosen answer is the longer one, 0 to 1: far from a half, length itself is learned."""
    too_long: tuple[str, ...]
    """Triples whose whole has more tokens than they may have: they stop a training."""


CHARACTERS = Ruler("characters", lambda texts: [len(text) for text in texts], lambda prompt, answer: prompt + answer)
"""Where no tokenizer is given."""


def token_ruler(folder: Path) -> Ruler:
    """Counts with the tokenizer of a model folder; raises CheckpointError where it has none."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        what = f"no tokenizer that can be read: {str(error).partition(chr(10))[0]}"
        raise CheckpointError(what, where=folder, cure="copy the tokenizer there") from None

    def count(texts: Sequence[str]) -> list[int]:
        if not texts:
            return []
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]]

    def render(prompt: str, answer: str) -> str:
        if tokenizer.chat_template is None:
            return prompt + answer
        turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        return str(tokenizer.apply_chat_template(turns, tokenize=False))

    return Ruler("tokens", count, render)


def lengths(triples: Sequence[Triple], ruler: Ruler, limits: Sequence[int | None]) -> Lengths:
    """Lengths of all triples. limits: tokens that each may have; None: no limit, and so is any in characters."""
    counts: dict[Part, list[int]] = {
        "prompt": ruler.count([triple.prompt for triple in triples]),
        "chosen": ruler.count([triple.chosen for triple in triples]),
        "rejected": ruler.count([triple.rejected for triple in triples]),
        "whole": _whole(triples, ruler),
    }
    longer = sum(one > other for one, other in zip(counts["chosen"], counts["rejected"], strict=True))
    limited = zip(triples, counts["whole"], limits if ruler.unit == "tokens" else [None] * len(triples), strict=True)
    too_long = tuple(triple.idx for triple, count, limit in limited if limit is not None and count > limit)
    return Lengths(ruler.unit, tuple(_lengths(triples, counts)), longer / max(len(triples), 1), too_long)


def _whole(triples: Sequence[Triple], ruler: Ruler) -> list[int]:
    sides = ([ruler.render(t.prompt, t.chosen) for t in triples], [ruler.render(t.prompt, t.rejected) for t in triples])
    return [max(pair) for pair in zip(ruler.count(sides[0]), ruler.count(sides[1]), strict=True)]


def _lengths(triples: Sequence[Triple], counts: dict[Part, list[int]]) -> Iterator[Length]:
    for part, numbers in counts.items():
        if numbers:
            median, high = (float(value) for value in np.percentile(numbers, [50, 95]))
            at = max(range(len(numbers)), key=numbers.__getitem__)
            yield Length(part, median, high, numbers[at], triples[at].idx)
