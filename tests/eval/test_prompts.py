"""Prompt sets: good lines in, each bad one named by file, line, field and cure."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from eval.config import PromptSetFile
from eval.prompt_files import load_prompt_set, load_prompt_sets
from eval.prompts import PromptSet, split_of
from mergescope.ground.errors import DataError

GOOD: dict[str, Any] = {"key": "a", "kind": "benign", "prompt": "hello", "category": ["x"]}


def load(path: Path, seed: int = 1, share: str = "0.3") -> PromptSet:
    return load_prompt_set(PromptSetFile(name="set", path=path), path, seed, Decimal(share))


def test_defaults(write_set: Callable[..., Path]) -> None:
    item = load(write_set([GOOD])).items[0]
    assert item.group == "a"
    assert item.messages == ({"role": "user", "content": "hello"},)
    assert item.reference is None
    assert item.reference_refusal is None


def test_the_kind_is_the_category_where_there_is_none(write_set: Callable[..., Path]) -> None:
    assert load(write_set([{k: v for k, v in GOOD.items() if k != "category"}])).items[0].category == ("benign",)


def test_a_text_and_a_choice(write_set: Callable[..., Path]) -> None:
    text = {"key": "t", "kind": "text", "text": "once upon a time"}
    choice = {"key": "c", "kind": "choice", "prompt": "1 or 2?", "reference": "2"}
    items = load(write_set([text, choice])).items
    assert [item.kind for item in items] == ["text", "choice"]
    assert items[0].messages == ({"role": "user", "content": "once upon a time"},)
    assert items[1].reference == "2"


def test_a_conversation(write_set: Callable[..., Path]) -> None:
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]
    line = {k: v for k, v in GOOD.items() if k != "prompt"} | {"messages": turns}
    assert list(load(write_set([line])).items[0].messages) == turns


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "malformed JSON"),
        ("[1]", "not a JSON object"),
        ("[" * 5000, "malformed JSON"),
        (GOOD | {"kind": "evil"}, "`kind` is not one of harmful, jailbreak, borderline, benign.*evil"),
        (GOOD | {"prompt": ""}, "`prompt` is not a string with text"),
        (GOOD | {"prompt": 3}, "`prompt` is not a string"),
        (GOOD | {"kind": "choice"}, "`reference` is missing; a `choice` needs it"),
        (GOOD | {"kind": "text"}, "kind text needs `text`"),
        (GOOD | {"text": "x"}, "either `prompt` or `messages`"),
        (GOOD | {"category": []}, "`category` is not a list of 1 to 3"),
        (GOOD | {"category": "x"}, "`category`"),
        (GOOD | {"category": ["a", "b", "c", "d"]}, "`category`"),
        (GOOD | {"reference": 1}, "`reference`"),
        (GOOD | {"reference_refusal": "maybe"}, "`reference_refusal` is not one of none, partial, full"),
        (GOOD | {"extra": 1}, "unknown field `extra`.*known fields"),
        (GOOD | {"messages": []}, "either `prompt` or `messages`"),
        ({k: v for k, v in GOOD.items() if k != "prompt"}, "either `prompt` or `messages`"),
        ({k: v for k, v in GOOD.items() if k != "key"}, "`key` is missing"),
        ({k: v for k, v in GOOD.items() if k != "prompt"} | {"messages": "hi"}, "`messages` is not a list of turns"),
        (
            {k: v for k, v in GOOD.items() if k != "prompt"} | {"messages": [{"role": "assistant", "content": "x"}]},
            "last of `messages` is not the user's",
        ),
        (GOOD, "`key` repeats that of line 1"),
    ],
)
def test_bad_lines_are_named(write_set: Callable[..., Path], line: Any, complaint: str) -> None:
    path = write_set([GOOD, line])
    with pytest.raises(DataError, match=complaint) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "\n" not in str(caught.value)


def test_missing_and_empty_files(tmp_path: Path, write_set: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="a folder"):
        load(tmp_path)
    with pytest.raises(DataError, match="empty"):
        load(write_set(["", "  "]))


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "sjis.jsonl"
    path.write_bytes('{"key": "日本"}'.encode("shift_jis"))
    with pytest.raises(DataError, match="not UTF-8 at byte"):
        load(path)


def test_two_sets_of_one_name(write_set: Callable[..., Path], tmp_path: Path) -> None:
    path = write_set([GOOD])
    files = [PromptSetFile(name="same", path=Path(path.name))] * 2
    with pytest.raises(DataError, match=r"study\.yaml: eval\.sets\[1\]\.name.*same name"):
        load_prompt_sets(files, tmp_path / "study.yaml", 1, Decimal("0.3"))


def test_groups_split_together_by_the_seed() -> None:
    groups = [f"g{i}" for i in range(2000)]
    sides = [split_of(g, 1, Decimal("0.3")) for g in groups]
    assert 0.27 < sides.count("confirm") / len(groups) < 0.33
    assert sides == [split_of(g, 1, Decimal("0.3")) for g in groups]
    assert sides != [split_of(g, 2, Decimal("0.3")) for g in groups]
    assert all(split_of(g, 1, Decimal(0)) == "select" for g in groups)


def test_a_mended_label_is_a_new_version_of_the_same_prompt(write_set: Callable[..., Path]) -> None:
    before, after = load(write_set([GOOD])), load(write_set([GOOD | {"kind": "borderline"}], "mended.jsonl"))
    assert before.set_id != after.set_id
    assert before.items[0].prompt_id == after.items[0].prompt_id
