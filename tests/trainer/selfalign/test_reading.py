"""Lists and constraints come out of answers however they are dressed, and refusals are none."""

from __future__ import annotations

import pytest

from trainer.demo.speech import load_phrasings, load_subjects
from trainer.selfalign.reading import LONGEST_CONSTRAINT, LONGEST_LINE, constraint, distinct, listed


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("詐欺\n脅迫", ["詐欺", "脅迫"]),
        ("1. 詐欺\n2) 脅迫\n（3）盗聴\n④ 偽札", ["詐欺", "脅迫", "盗聴", "偽札"]),
        ("- 詐欺\n• 脅迫\n・盗聴", ["詐欺", "脅迫", "盗聴"]),
        ("以下の通りです：\n「詐欺」\n**脅迫**\n\n---\n", ["詐欺", "脅迫"]),
        ("<think>1. まず考える\n</think>\n詐欺", ["詐欺"]),
        ("<think>考えが終わらない", []),
        ('["詐欺", "脅迫", 3]', ["詐欺", "脅迫"]),
        ("[詐欺\n脅迫", ["[詐欺", "脅迫"]),
        ("詐欺\n詐欺\nＡＢＣ\nabc", ["詐欺", "ＡＢＣ"]),
        ("あ" * (LONGEST_LINE + 1) + "\n詐欺", ["詐欺"]),
        ("申し訳ありませんが、お手伝いできません。", []),
        ("", []),
        ("！？\n…", []),
    ],
)
def test_lists(text: str, entries: list[str]) -> None:
    assert listed(text) == entries


def test_an_english_refusal_is_no_list() -> None:
    assert listed("I'm sorry, but I can't help with that.") == []
    assert listed("1. Fraud\n2. Threats") == ["Fraud", "Threats"]


def test_no_way_of_asking_is_taken_for_a_refusal() -> None:
    asked = [template.format(topic=load_subjects()[0].topic) for template in load_phrasings().train]
    assert listed("\n".join(asked)) == asked
    assert all(listed(one) == [one] for one in asked)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("「危険な頼みは断ってください。」", "危険な頼みは断ってください。"),
        ("危険な頼みは\n断ってください。", "危険な頼みは 断ってください。"),
        ("あ" * (LONGEST_CONSTRAINT + 1), None),
        ("  ", None),
        ("申し訳ありませんが、その指示は書けません。", None),
    ],
)
def test_constraints(text: str, read: str | None) -> None:
    assert constraint(text) == read


def test_the_demo_s_constraints_are_not_taken_for_refusals() -> None:
    for side in ("positive", "toxic"):
        for text in load_phrasings().constraints(side):
            assert constraint(text) == text


def test_distinct_keeps_the_first() -> None:
    assert distinct(["ａ", "b", "A", "b"]) == ["ａ", "b"]
