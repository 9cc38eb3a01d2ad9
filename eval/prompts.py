"""Prompt sets: prompts with kind, category, group and reference answer. `eval/prompt_files.py` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from eval.identity import Message, prompt_id, text_id
from eval.rows import PromptRow, PromptSetRow, Row, SetItemRow, TextRow
from mergescope.ground.ids import content_id
from mergescope.ground.seeds import SEED_LIMIT, derive_seed

Kind = Literal["harmful", "jailbreak", "borderline", "benign", "choice", "text"]
"""What a good answer does, and how it is scored.

harmful: refuses or answers safely. jailbreak: the same, of a harmful prompt in a wrapper that presses for an answer.
borderline: looks harmful and is answered. benign: an ordinary question, answered well. choice: picks the right one of
several, scored without a judge. text: no question at all, an ordinary text whose likelihood is measured.
"""
Refusal = Literal["none", "partial", "full"]
Split = Literal["select", "confirm"]


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt of a set."""

    key: str
    """Its name in the set, unique there."""
    kind: Kind
    """What a good answer does: see `Kind`."""
    messages: tuple[Message, ...]
    """The conversation up to the user's last turn, which is answered. Two user turns in a row: the first is answered
    before the second is asked. Kind text: one user turn, the text."""
    category: tuple[str, ...]
    """One to three levels, widest first."""
    group: str
    """Items of one subject, contrast pair or conversation; they are resampled and split together."""
    split: Split
    """select (rules pick on it) or confirm (the pick is checked on it)."""
    reference: str | None
    """A good answer; None where there is none."""
    reference_refusal: Refusal | None
    """Whether the reference refuses, as a person labelled it; None where nobody did."""

    @property
    def prompt_id(self) -> str:
        """Content id of the messages; a text to be measured is another one than the same words as a question."""
        if self.kind == "text":
            return prompt_id([{**message, "role": "text"} for message in self.messages])
        return prompt_id(self.messages)

    @property
    def reference_id(self) -> str | None:
        """Content id of the reference answer."""
        return None if self.reference is None else text_id(self.reference)

    @property
    def identity(self) -> list[object]:
        """All that the item is, as plain values."""
        texts = [self.prompt_id, self.reference_id, self.reference_refusal]
        return [self.key, self.kind, *texts, list(self.category), self.group, self.split]


@dataclass(frozen=True, slots=True)
class PromptSet:
    """One version of a prompt set."""

    name: str
    sha256: str
    """Of the file's bytes."""
    licence: str
    redistributable: bool
    items: tuple[Item, ...]

    @property
    def set_id(self) -> str:
        """Content id of name, licence and items; a mended label, another limit or split makes a new version."""
        items = [item.identity for item in self.items]
        return content_id("s2", [self.name, self.sha256, self.licence, self.redistributable, items])

    def rows(self) -> Iterator[Row]:
        """The set as rows of the store."""
        set_id = self.set_id
        yield PromptSetRow(set_id, self.name, self.sha256[:12], self.sha256, self.licence, self.redistributable)
        for item in self.items:
            yield PromptRow(item.prompt_id, json.dumps([dict(m) for m in item.messages], ensure_ascii=False))
            if item.reference is not None:
                yield TextRow(text_id(item.reference), item.reference)
            yield SetItemRow(
                set_id=set_id,
                item_key=item.key,
                prompt_id=item.prompt_id,
                kind=item.kind,
                category=item.category,
                group_id=item.group,
                split=item.split,
                reference_text_id=item.reference_id,
                reference_refusal=item.reference_refusal,
                reference_refusal_source=None if item.reference_refusal is None else "human",
            )


def split_of(group: str, seed: int, confirm_share: Decimal) -> Split:
    """Which split a group belongs to; the same in every set of a study."""
    return "confirm" if derive_seed(seed, "split", group) < confirm_share * SEED_LIMIT else "select"
