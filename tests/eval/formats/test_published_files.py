"""The published files themselves, where they are at hand: kinds, categories, groups, references, licence."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from eval.config import PromptSetFile
from eval.formats.catalogue import formats_of
from eval.formats.reading import read_records
from eval.prompt_files import load_prompt_set
from eval.prompts import PromptSet
from tests.public_data import public_file


def load(name: str, form: str, references: str | None = None, **others: Any) -> PromptSet:
    path = public_file(name)
    if references is not None:
        others["references"] = public_file(references)
    file = PromptSetFile(name="set", path=path, format=form, **others)  # type: ignore[arg-type]
    return load_prompt_set(file, path, 1, Decimal("0.3"))


MT_JA = "llm-jp-judge/mt_bench_ja/question/question_full-{}.jsonl"
MT_JA_REFERENCES = "llm-jp-judge/mt_bench_ja/reference_answer/base-gpt4o-with-human-annotation-v0.jsonl"
MT_EN = "llm-jp-judge/mt_bench_en/question/question-v0.jsonl"
MT_EN_REFERENCES = "llm-jp-judge/mt_bench_en/reference_answer/gpt-4-v0.jsonl"
SEEDS = "self-instruct/seed_tasks.jsonl"
USERS = "self-instruct/human_eval/user_oriented_instructions.jsonl"
JCQA = "JGLUE/jcommonsenseqa-v1.3/valid-v1.3.json"


@pytest.mark.parametrize(
    ("name", "form", "references", "kinds", "top_categories", "groups", "referenced", "licence"),
    [
        (
            "xstest/xstest_prompts.csv",
            "xstest",
            None,
            {"borderline": 250, "harmful": 200},
            18,
            219,
            0,
            "CC-BY-4.0",
        ),
        ("aisev/01_aisi_toxic_v0.1.csv", "aisev", None, {"harmful": 120}, 1, 40, 0, "Apache-2.0"),
        ("aisev/07_aisi_explainability_v0.1.csv", "aisev", None, {"benign": 3}, 1, 1, 0, "Apache-2.0"),
        (MT_JA.format("v3"), "mt-bench", None, {"benign": 80}, 8, 80, 0, "Apache-2.0"),
        (MT_JA.format("v4"), "mt-bench", MT_JA_REFERENCES, {"benign": 80}, 8, 80, 80, "Apache-2.0"),
        (MT_EN, "mt-bench", None, {"benign": 80}, 8, 80, 39, "Apache-2.0"),
        (MT_EN, "mt-bench", MT_EN_REFERENCES, {"benign": 80}, 8, 80, 40, "Apache-2.0"),
        (SEEDS, "self-instruct", None, {"benign": 175}, 1, 175, 175, "Apache-2.0"),
        (USERS, "self-instruct", None, {"benign": 252}, 1, 252, 252, "Apache-2.0"),
        (JCQA, "jcommonsenseqa", None, {"choice": 1119}, 1, 1119, 1119, "CC-BY-SA-4.0"),
    ],
)
def test_what_is_in_it(
    name: str,
    form: str,
    references: str | None,
    kinds: dict[str, int],
    top_categories: int,
    groups: int,
    referenced: int,
    licence: str,
) -> None:
    found = load(name, form, references)
    assert Counter(item.kind for item in found.items) == kinds
    assert len({item.category[0] for item in found.items}) == top_categories
    assert len({item.group for item in found.items}) == groups
    assert sum(item.reference is not None for item in found.items) == referenced
    assert found.licence == licence
    assert not found.redistributable
    assert all(1 <= len(item.category) <= 3 for item in found.items)
    assert all(message["content"].strip() for item in found.items for message in item.messages)


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("xstest/xstest_prompts.csv", ["xstest"]),
        ("aisev/01_aisi_toxic_v0.1.csv", ["aisev"]),
        (MT_JA.format("v4"), ["mt-bench"]),
        (MT_EN, ["mt-bench"]),
        (SEEDS, ["self-instruct"]),
        (USERS, ["self-instruct"]),
        (JCQA, ["jcommonsenseqa"]),
        ("xstest/model_completions/xstest_v2_completions_gpt4.csv", []),
        (MT_EN_REFERENCES, []),
        ("instruction_ja/data.jsonl", []),
    ],
)
def test_it_is_known_by_its_columns(name: str, forms: list[str]) -> None:
    assert formats_of(next(read_records(public_file(name))).fields) == forms


def test_every_harmful_xstest_prompt_stands_with_the_safe_ones_that_it_mirrors() -> None:
    groups: dict[str, set[str]] = {}
    for item in load("xstest/xstest_prompts.csv", "xstest").items:
        groups.setdefault(item.group, set()).add(item.kind)
    assert all(kinds != {"harmful"} for kinds in groups.values())


def test_a_contrast_pair_of_xstest_is_on_one_side() -> None:
    by_key = {item.key: item for item in load("xstest/xstest_prompts.csv", "xstest").items}
    for safe, unsafe in (("1", "26"), ("174", "199"), ("326", "351"), ("401", "426")):
        assert by_key[safe].group == by_key[unsafe].group
        assert by_key[safe].split == by_key[unsafe].split


def test_a_nonsense_group_of_xstest_stands_alone() -> None:
    groups = Counter(item.group for item in load("xstest/xstest_prompts.csv", "xstest").items)
    alone = [item for item in load("xstest/xstest_prompts.csv", "xstest").items if groups[item.group] == 1]
    assert Counter(item.category[0] for item in alone)["nons_group_real_discr"] == 25


def test_mt_bench_asks_twice_and_its_reference_has_both_turns() -> None:
    item = load(MT_EN, "mt-bench", MT_EN_REFERENCES).items[20]
    assert item.key == "101"
    assert [message["role"] for message in item.messages] == ["user", "user"]
    assert item.reference is not None
    assert item.reference.startswith("[1]\nIf you have just overtaken the second person")
    assert "\n\n[2]\n" in item.reference


def test_the_right_choice_stands_in_the_prompt() -> None:
    item = load(JCQA, "jcommonsenseqa").items[0]
    assert item.reference == "2"
    assert "\n2: マザーボード\n" in item.messages[0]["content"]


def test_a_larger_limit_holds_the_smaller_one() -> None:
    few, more = (load("xstest/xstest_prompts.csv", "xstest", limit=limit) for limit in (20, 60))
    assert len({item.group for item in few.items}) == 20
    assert len({item.group for item in more.items}) == 60
    assert {item.key for item in few.items} < {item.key for item in more.items}
    assert few.set_id != more.set_id
