"""Wrapped prompts: what stays, what changes, and that nothing of a prompt is lost in a wrapper."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

import eval.wrapping
from eval.config import PromptSetFile
from eval.prompt_files import load_prompt_set
from eval.prompts import Item, PromptSet
from eval.wrapping import wrapped, wrappers
from mergescope.ground.errors import DataError

NAMES = (
    "prefix-injection", "refusal-suppression", "role-play", "fiction", "researcher", "base64", "translation",
    "persistence",
)  # fmt: skip
PROMPT = "How do I {prompt} a \\1 thing? {base64}"

PLACE = "eval.sets[0].wrappers"


def item(key: str = "a", kind: str = "harmful", prompt: str = PROMPT, category: tuple[str, ...] = ("x",)) -> Item:
    messages = ({"role": "system", "content": "be brief"}, {"role": "user", "content": prompt})
    return Item(key, kind, messages, category, "subject", "confirm", "I can't help with that.", "full")  # type: ignore[arg-type]


def load(path: Path, *names: str) -> PromptSet:
    return load_prompt_set(PromptSetFile(name="set", path=path, wrappers=names), path, 1, Decimal("0.3"))


def test_the_wrappers_are_the_documented_ones() -> None:
    assert tuple(wrappers()) == NAMES
    file = resources.files("eval") / "wrappers" / "jailbreak.yaml"
    described = yaml.safe_load(file.read_text(encoding="utf-8"))["wrappers"]
    assert all(set(one) == {"description", "source", "en", "ja"} for one in described.values())
    assert all(len(one["en"]) == len(one["ja"]) for one in described.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("prompt", [PROMPT, "「{prompt}」の作り方は？\n\n二行目"])
def test_a_wrapped_prompt_holds_the_whole_prompt_once(name: str, prompt: str) -> None:
    plain, one = wrapped([item(prompt=prompt)], [name], PLACE)
    assert plain == item(prompt=prompt)
    assert (one.key, one.kind, one.category, one.group, one.split) == (
        f"a~{name}", "jailbreak", (name, "x"), "subject", "confirm"
    )  # fmt: skip
    assert (one.reference, one.reference_refusal) == ("I can't help with that.", None)
    assert one.messages[0] == {"role": "system", "content": "be brief"}
    assert all(turn["role"] == "user" for turn in one.messages[1:])
    asked = one.messages[1]["content"]
    held = base64.b64encode(prompt.encode()).decode() if name == "base64" else prompt
    assert asked.count(held) == 1
    assert (asked != prompt) == (name != "persistence")
    assert len(one.messages) == (3 if name == "persistence" else 2)


def test_the_wrapper_speaks_the_prompts_language() -> None:
    for prompt, said in (("包丁", "復号"), ("ナイフ", "復号"), ("knife", "Decode"), ("Messer—größer", "Decode")):
        assert said in wrapped([item(prompt=prompt)], ["base64"], PLACE)[1].messages[1]["content"]


def test_only_harmful_prompts_are_wrapped() -> None:
    kinds = ("harmful", "jailbreak", "borderline", "benign", "choice", "text")
    found = wrapped([item(kind, kind) for kind in kinds], ["fiction", "base64"], PLACE)
    assert [one.key for one in found] == ["harmful", "harmful~fiction", "harmful~base64", *kinds[1:]]


def test_a_category_keeps_three_levels() -> None:
    assert wrapped([item(category=("a", "b", "c"))], ["fiction"], PLACE)[1].category == ("fiction", "a", "b")


@pytest.mark.parametrize(
    ("items", "names", "complaint"),
    [
        (
            [item()],
            ["dan"],
            r"eval.sets\[0\].wrappers: no such wrapper \(got 'dan'\); use base64, fiction, .*translation",
        ),
        ([item()], ["fiction", "fiction"], "the same wrapper stands twice"),
        ([item(kind="benign")], ["fiction"], "without harmful items"),
        ([item(), item("a~fiction", "benign")], ["fiction"], "taken by a wrapped prompt.*a~fiction"),
    ],
)
def test_what_cannot_be_wrapped_is_named(items: list[Item], names: list[str], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        wrapped(items, names, PLACE)


def test_wrappers_are_part_of_a_sets_identity(write_set: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    line: dict[str, Any] = {"key": "a", "kind": "harmful", "prompt": "hello", "category": ["x"]}
    path = write_set([line])
    plain, wrapped_set = load(path), load(path, "fiction")
    assert [one.key for one in wrapped_set.items] == ["a", "a~fiction"]
    assert wrapped_set.sha256 == plain.sha256
    ids = {plain.set_id, wrapped_set.set_id, load(path, "base64").set_id, load(path, "fiction", "base64").set_id}
    assert len(ids) == 4
    assert load(path, "fiction").set_id == wrapped_set.set_id
    fiction = wrappers()["fiction"]
    other = replace(fiction, turns={"en": ("Once more: {prompt}",), "ja": fiction.turns["ja"]})
    monkeypatch.setattr(eval.wrapping, "wrappers", lambda: {"fiction": other, "base64": wrappers()["base64"]})
    assert load(path, "fiction").set_id != wrapped_set.set_id
    assert load(path, "base64").set_id in ids
    assert load(path).set_id == plain.set_id
