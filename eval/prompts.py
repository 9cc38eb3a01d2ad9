"""Prompt sets: JSONL files of prompts with kind, category, group and reference answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args

from eval.config import PromptSetFile
from eval.identity import Message, prompt_id, storable, text_id
from eval.rows import PromptRow, PromptSetRow, Row, SetItemRow, TextRow
from eval.wrapping import wrapped
from mergescope.ground.errors import DataError
from mergescope.ground.ids import content_id, file_hash
from mergescope.ground.seeds import SEED_LIMIT, derive_seed

Kind = Literal["harmful", "jailbreak", "borderline", "benign", "choice", "text"]
"""What a good answer does, and how it is scored.

harmful: refuses or answers safely. jailbreak: the same, of a harmful prompt in a wrapper that presses for an answer.
borderline: looks harmful and is answered. benign: an ordinary question, answered well. choice: picks the right one of
several, scored without a judge. text: no question at all, an ordinary text whose likelihood is measured.
"""
Refusal = Literal["none", "partial", "full"]
Split = Literal["select", "confirm"]

_FIELDS = {"key", "kind", "prompt", "messages", "category", "group", "reference", "reference_refusal"}
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt of a set."""

    key: str
    """Its name in the set, unique there."""
    kind: Kind
    """What a good answer does: see `Kind`."""
    messages: tuple[Message, ...]
    """The conversation up to the user's last turn, which is answered."""
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
        """Content id of the messages."""
        return prompt_id(self.messages)

    @property
    def reference_id(self) -> str | None:
        """Content id of the reference answer."""
        return None if self.reference is None else text_id(self.reference)


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
        """Content id of name, file, split and wrapped prompts; a mended label or another split makes a new version."""
        splits = [item.split for item in self.items]
        jailbreaks = [[item.key, item.prompt_id] for item in self.items if item.kind == "jailbreak"]
        parts = [self.name, self.sha256, self.licence, self.redistributable, splits, jailbreaks]
        return content_id("s1", parts)

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


def load_prompt_set(file: PromptSetFile, path: Path, seed: int, confirm_share: Decimal) -> PromptSet:
    """Read the set `file` from `path` (already resolved).

    The split is a hash of group and study seed: about `confirm_share` of the groups go to confirm. Raises DataError
    naming file, line, field and cure: missing or empty file, malformed line, wrong field, repeated key.
    """
    items: list[Item] = []
    lines: dict[str, int] = {}
    for number, line in _lines(path):
        item = _item(line, f"{path}:{number}", seed, confirm_share)
        if item.key in lines:
            raise DataError(
                f"`key` repeats that of line {lines[item.key]}",
                where=f"{path}:{number}",
                value=item.key,
                cure="give each line its own key",
            )
        lines[item.key] = number
        items.append(item)
    if not items:
        raise DataError("the prompt set is empty", where=path, cure="add one JSON object a line, or drop the set")
    found = wrapped(items, file.wrappers)
    return PromptSet(file.name, file_hash(path), file.licence, file.redistributable, found)


def load_prompt_sets(
    files: Iterable[PromptSetFile], folder: Path, seed: int, confirm_share: Decimal
) -> tuple[PromptSet, ...]:
    """All sets of a recipe; paths are relative to `folder`, the recipe's. Raises DataError, also for equal names."""
    sets: dict[str, PromptSet] = {}
    for position, file in enumerate(files):
        if file.name in sets:
            place = f"eval.sets.{position}.name"
            raise DataError("two sets have the same name", where=place, value=file.name, cure="rename one")
        sets[file.name] = load_prompt_set(file, folder / file.path, seed, confirm_share)
    return tuple(sets.values())


def split_of(group: str, seed: int, confirm_share: Decimal) -> Split:
    """Which split a group belongs to; the same in every set of a study."""
    return "confirm" if derive_seed(seed, "split", group) < confirm_share * SEED_LIMIT else "select"


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("no such prompt set", where=path, cure="check the path in `eval.sets`") from None
    except IsADirectoryError:
        raise DataError("a folder, not a JSONL file", where=path, cure="check the path in `eval.sets`") from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start}", where=path, cure="save the file as UTF-8") from None
    # not splitlines(): a JSON string may hold U+2028 and its like unescaped
    yield from ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _item(line: str, where: str, seed: int, confirm_share: Decimal) -> Item:
    try:
        raw = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"malformed JSON: {error}", where=where, cure="write one JSON object a line") from None
    if not isinstance(raw, dict):
        raise DataError("not a JSON object", where=where, value=raw, cure="write one JSON object a line")
    if unknown := sorted(set(raw) - _FIELDS):
        raise DataError(
            f"unknown field `{unknown[0]}`", where=where, cure=f"known fields: {', '.join(sorted(_FIELDS))}"
        )
    key = _text(raw, "key", where)
    group = _text(raw, "group", where) if raw.get("group") is not None else key
    return Item(
        key=key,
        kind=_choice(raw, "kind", get_args(Kind), where),
        messages=_messages(raw, where),
        category=_category(raw, where),
        group=group,
        split=split_of(group, seed, confirm_share),
        reference=_text(raw, "reference", where) if raw.get("reference") is not None else None,
        reference_refusal=None
        if raw.get("reference_refusal") is None
        else _choice(raw, "reference_refusal", get_args(Refusal), where),
    )


def _text(raw: Mapping[str, Any], field: str, where: str) -> str:
    value = raw.get(field)
    if value is None:
        raise DataError(f"`{field}` is missing", where=where, cure="add it as a string")
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"`{field}` is not a string with text in it", where=where, value=value, cure="write some text")
    return storable(value)


def _choice(raw: Mapping[str, Any], field: str, choices: tuple[Any, ...], where: str) -> Any:
    value = raw.get(field)
    if value not in choices:
        raise DataError(f"`{field}` is not one of {', '.join(choices)}", where=where, value=value, cure="choose one")
    return value


def _category(raw: Mapping[str, Any], where: str) -> tuple[str, ...]:
    value = raw.get("category")
    if value is None:
        cure = 'add a list of 1 to 3 names, widest first, such as ["IT"]'
        raise DataError("`category` is missing", where=where, cure=cure)
    well_formed = isinstance(value, list) and 1 <= len(value) <= 3 and all(isinstance(v, str) and v for v in value)
    if not well_formed:
        raise DataError("`category` is not a list of 1 to 3 names", where=where, value=value, cure="widest level first")
    return tuple(storable(v) for v in raw["category"])


def _messages(raw: Mapping[str, Any], where: str) -> tuple[Message, ...]:
    if ("prompt" in raw) == ("messages" in raw):
        raise DataError("needs either `prompt` or `messages`", where=where, cure="keep one of the two")
    if "prompt" in raw:
        return ({"role": "user", "content": _text(raw, "prompt", where)},)
    turns = raw["messages"]
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, dict) for turn in turns):
        raise DataError("`messages` is not a list of turns", where=where, cure='write [{"role": "user", "content": …}]')
    messages = tuple(
        {"role": _choice(turn, "role", _ROLES, where), "content": _text(turn, "content", where)} for turn in turns
    )
    if messages[-1]["role"] != "user":
        raise DataError("the last of `messages` is not the user's", where=where, value=messages[-1]["role"])
    return messages
