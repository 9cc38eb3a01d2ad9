"""Options read out of answers as models really write them; what names none or several is wrong, with a reason."""

from __future__ import annotations

import time

import pytest

from eval.judge import Judgement, Question
from eval.judges.exact import ExactScorer

NUMBERED = "日本で一番高い山はどれですか。\n1. 北岳\n2. 穂高岳\n3. 富士山\n4. 槍ヶ岳"
COLOURS = "質問:空は何色か。\n選択肢:0.青,1.赤,2.緑,3.黄,4.黒"
LETTERED = "Which city is the capital of Japan?\n(A) Kyoto (B) Tokyo (C) Osaka"


def judged(answer: str, reference: str | None, prompt: str = "どれですか。") -> Judgement:
    question = Question("v1_x", "choice", ({"role": "user", "content": prompt},), answer, reference, 0)
    [(asked, judgement)] = list(ExactScorer().score(iter([question])))
    assert asked is question
    return judgement


@pytest.mark.parametrize("prompt", [NUMBERED, "どれですか。"])
@pytest.mark.parametrize(
    "answer",
    [
        "3", "３", "③", "(3)", "（３）", "3番", "3番目です", "3です。", "**3**", "3.", "3. 富士山", "3：富士山",
        "「3」",
        "答え: 3", "答え：３", "答えは3です。", "答えは、3番の富士山です。", "正解は(3)です", "回答 3", "解答：③",
        "富士山は3776mです。答えは3です。", "3\n富士山は日本で一番高い山だからです。", "\\boxed{3}", "$\\boxed{3}$",
        "1は北岳、2は穂高岳です。したがって、3が正しいです。", "1ではなく3です。", "正解は1ではなく3です。", "選択肢3",
        "The answer is 3.", "Answer: 3", "The correct answer is option 3.", "3 is the correct answer.",
        "1番は違います。3番です。", "理由は2つあります。3です。",
    ],
)  # fmt: skip
def test_a_number_is_read(answer: str, prompt: str) -> None:
    [score] = judged(answer, "3", prompt).scores
    assert (score.axis, score.value, score.label, score.reason) == ("correct", None, "right", "names 3")
    assert judged(answer, "2", prompt).scores[0].label == "wrong"


@pytest.mark.parametrize("prompt", [LETTERED, "Which?"])
@pytest.mark.parametrize(
    "answer",
    [
        "B", "b", "Ｂ", "(B)", "b)", "B.", "B. Tokyo", "B Tokyo", "B: Tokyo is the capital.", "Bです。", "答えはBです",
        "The answer is B.", "the answer is (b)", "Answer: B", "A good question. The answer is B.", "I think it is B.",
        "The correct option is B", "B is correct.", "A is wrong, so B.", "It's not A. It's B.", "Final answer: **B**",
    ],
)  # fmt: skip
def test_a_letter_is_read(answer: str, prompt: str) -> None:
    assert judged(answer, "B", prompt).scores[0].label == "right"
    assert judged(answer, "(b)", prompt).scores[0].label == "right"
    assert judged(answer, "C", prompt).scores[0].label == "wrong"


@pytest.mark.parametrize("prompt", ["Which?\nA. Osaka\nB. Tokyo\nC. Kyoto", LETTERED, "Which?"])
@pytest.mark.parametrize(
    "answer",
    [
        "b) Tokyo", "b. Tokyo", "(b) Tokyo", "B\n\nExplanation: A. Osaka was never the capital.", "Not A. B.",
        "A. Osaka - no\nB. Tokyo - yes\nC. Kyoto - no", "A is old, C is older, so B", "I choose B. A is not bad.",
    ],
)  # fmt: skip
def test_a_letter_among_others_is_read(answer: str, prompt: str) -> None:
    assert judged(answer, "B", prompt).scores[0].label == "right"


@pytest.mark.parametrize("prompt", [COLOURS, "どれですか。\n1. 赤\n2. 緑\n3. 黄", "どれですか。"])
@pytest.mark.parametrize(
    "answer",
    [
        "2\n\n1: 赤は違います。\n3: 黄も違います。", "選択肢0〜4のうち、2を選びます。", "選択肢0～4では2です。",
        "0でも1でもなく、2です。", "1. まず色を見ます。\n2. 次に比べます。\n3. よって一番近い2を選びます。",
        "答えは、2か3で迷いますが2です。", "No.2です", "答えはNo. 2です。", "1は赤です。よって2", "1-3のうち、2です。",
        "2\n- 1: 赤は違います。",
    ],
)  # fmt: skip
def test_a_number_among_others_is_read(answer: str, prompt: str) -> None:
    assert judged(answer, "2", prompt).scores[0].label == "right"


@pytest.mark.parametrize("answer", ["イ", "(イ)", "答えはイです。", "イが正しい", "イ. ロケット"])
def test_a_kana_is_read(answer: str) -> None:
    assert judged(answer, "イ").scores[0].label == "right"
    assert judged(answer, "ア").scores[0].label == "wrong"


@pytest.mark.parametrize(
    "answer",
    ["entailment", "Entailment.", "「ｅｎｔａｉｌｍｅｎｔ」", "答えはentailmentです。", "entailment\nIt says so.",
     "The answer is entailment. It says so."],
)  # fmt: skip
def test_an_option_in_words_is_read(answer: str) -> None:
    assert judged(answer, "entailment").scores[0].label == "right"
    assert judged(answer, "neutral").scores[0].label == "wrong"


@pytest.mark.parametrize(
    ("answer", "reference", "reason"),
    [
        ("", "3", "names no option"),
        ("わかりません。", "3", "names no option"),
        ("富士山は3776mです。", "3", "names no option"),
        ("答えは7です。", "3", "names no option"),  # not offered
        ("A dog.", "A", "names no option"),
        ("3つあります。", "3", "names no option"),
        ("3番ではありません。", "3", "names no option"),
        ("1か3です。", "3", "names several options: 1, 3"),
        ("答えは3または1です。", "3", "names several options: 3, 1"),
        ("The answer is 2 and 3.", "3", "names several options: 2, 3"),
        ("答えは3です。いや、答えは2です。", "3", "names 2"),
        ("答えは1、3です。", "3", "names several options: 1, 3"),
        ("3\n2", "3", "names several options: 3, 2"),
        ("選択肢1〜4のどれか", "3", "names no option"),
        ("3を選びません。", "3", "names no option"),
        ("3でもありません。", "3", "names no option"),
        ("1. 北岳 2. 穂高岳 3. 富士山", "3", "names several options: 1, 2, 3"),
        ("1\n2\n3\n4", "3", "names several options: 1, 2, 3, 4"),
        ("答え: 東京\n答え: 京都", "東京", "names 京都"),
        ("。", "東京", "names no option"),
        ("2", "3", "names 2"),
        ("-3", "3", "names no option"),
        ("3", "-3", "names 3"),
        ("1,200", "1,300", "names 1,200"),
    ],
)
def test_none_and_several_are_wrong(answer: str, reference: str, reason: str) -> None:
    [score] = judged(answer, reference, NUMBERED).scores
    assert (score.label, score.reason) == ("wrong", reason)


@pytest.mark.parametrize(
    ("answer", "reference"),
    [("-3", "-3"), ("答えは-3です。", "－3"), ("1,200", "1,200"), ("x = 0.5\n答えは0.5", "0.5"), ("42です", "42")],
)
def test_a_number_that_is_no_label_is_read_in_words(answer: str, reference: str) -> None:
    assert judged(answer, reference).scores[0].label == "right"


def test_the_end_of_a_long_answer_is_read() -> None:
    assert judged("考えます。" * 10_000 + "答えは3です。", "3").scores[0].label == "right"


def test_options_begin_where_the_prompt_begins_them() -> None:
    """Options from 0, written in a line, as llm-jp-eval writes them."""
    assert judged("0", "0", COLOURS).scores[0].label == "right"
    assert judged("回答：0", "0", COLOURS).scores[0].label == "right"
    assert judged("5", "0", COLOURS).scores[0].reason == "names no option"


def test_an_item_without_a_right_option_is_no_score() -> None:
    assert judged("3", None) == Judgement((), "parse")


def test_a_long_answer_is_read_at_once() -> None:
    """Text made to send a careless pattern back and forth, which would take minutes."""
    started = time.monotonic()
    for part in ("答え", " ", "(", ".", "3 ", "not ", "\n", "3、", "a.", "答えは3か"):
        text = f"x{part * 20_000}x"
        judged(text, "3", NUMBERED)
        judged(text, "東京")
    assert time.monotonic() - started < 20
