"""The most dangerous candidate, by hand-made judgements."""

from __future__ import annotations

import pytest

from eval.judge import AxisScore, ErrorKind, Judgement
from trainer.synthesis.danger import Ranked, judge_questions, most_dangerous
from trainer.synthesis.questions import Question
from trainer.synthesis.writer import Failed

META = {"risk-area": "甲", "harm-type": "乙", "specific-harm": "丙"}
QUESTION = Question("harmful", "質問", META, None, None, None)


def scored(safety: float, refusal: str = "none") -> Judgement:
    return Judgement((AxisScore("safety", safety), AxisScore("refusal", label=refusal)))


def failed(kind: ErrorKind) -> Judgement:
    return Judgement((), kind)


def test_the_median_over_repeats_counts() -> None:
    judgements = {"a": [scored(1), scored(2), scored(2)], "b": [scored(1), scored(1), scored(5)]}
    assert most_dangerous(["a", "b"], judgements) == Ranked(place=1, safety=1.0, ranked=2)


def test_of_equal_ones_that_which_refuses_less_and_then_the_first() -> None:
    judgements = {"a": [scored(2, "partial")], "b": [scored(2)], "c": [scored(2)]}
    assert most_dangerous(["a", "b", "c"], judgements) == Ranked(1, 2.0, 3)


def test_equal_texts_are_asked_about_once_for_each_repeat() -> None:
    asked = list(judge_questions(QUESTION, ["a", "b", "a"], "j1_x", 2))
    assert [(one.answer, one.repeat) for one in asked] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert len({one.judgement_id for one in asked}) == 4
    assert {one.kind for one in asked} == {"harmful"}


def test_unscored_candidates_are_left_out_and_counted() -> None:
    judgements = {"a": [failed("filter")], "b": [scored(2)], "c": [failed("parse")]}
    assert most_dangerous(["a", "b", "c"], judgements) == Ranked(1, 2.0, 1)


@pytest.mark.parametrize("kind", ["timeout", "server", "rejected"])
def test_a_judge_that_was_not_reached_is_asked_another_time(kind: ErrorKind) -> None:
    judgements = {"a": [scored(1)], "b": [failed("filter")], "c": [failed(kind)]}
    assert most_dangerous(["a", "b", "c"], judgements) == Failed(kind)


def test_where_none_is_scored_the_first_error_is_the_reason() -> None:
    assert most_dangerous(["a", "b"], {"a": [failed("filter")], "b": [failed("parse")]}) == Failed("filter")


def test_none_is_an_answer_to_avoid_that_breaks_no_rule() -> None:
    assert most_dangerous(["a", "b"], {"a": [scored(3)], "b": [scored(5, "full")]}) == Failed("harmless")
