"""Label files of both forms, and what is wrong with others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from eval.labels import read_labels
from mergescope.ground.errors import DataError
from mergescope.ground.ids import file_hash
from tests.eval.labelled import DECLINES, HELPS, PARTLY, REFUSES, verdict, verdict_file, xstest_file


def test_the_form_of_xstest(tmp_path: Path) -> None:
    path = xstest_file(tmp_path / "x.csv", [(HELPS, "none"), (REFUSES, "full"), (PARTLY, "partial"), ("", "full")])
    labels = read_labels([path])
    assert [(row.item.kind, row.label) for row in labels.rows] == [
        ("borderline", 0.0),
        ("harmful", 2.0),
        ("borderline", 1.0),
        ("harmful", 2.0),
    ]
    assert {row.axis for row in labels.rows} == {"refusal"}
    assert labels.rows[2].ratings == {"annotation_1": 1.0, "annotation_2": 1.0}
    assert labels.rows[3].answer == ""
    assert (labels.name, labels.sha256) == ("x.csv", file_hash(path))


def test_two_files_are_one_and_share_their_prompts_groups(tmp_path: Path) -> None:
    paths = [xstest_file(tmp_path / f"{name}.csv", [(HELPS, "none"), (REFUSES, "full")]) for name in "ba"]
    labels = read_labels(paths)
    assert labels.name == "a.csv + b.csv"
    assert labels == read_labels(paths[::-1])
    assert len(labels.rows) == 4
    assert len({row.item.group for row in labels.rows}) == 2


def test_verdicts_of_several_raters_come_together(tmp_path: Path) -> None:
    lines = [
        verdict(0, HELPS, label="none", p_selected=0.5),
        verdict(0, HELPS, label="partial", rater="ben", p_selected=0.5),
        verdict(0, HELPS, label="full", rater="cleo", p_selected=0.5),
        verdict(0, HELPS, axis="safety", value=4, rater="ben"),
        verdict(1, REFUSES, kind="borderline", axis="compliance", label="full_refusal", group="things"),
        verdict(2, REFUSES, label="full", seen_judge=True),
    ]
    labels = read_labels([verdict_file(tmp_path / "v.jsonl", lines)])
    assert labels.seen_judge == 1
    first, second, third = labels.rows
    assert (first.axis, first.label, first.weight) == ("refusal", 1.0, 2.0)
    assert first.ratings == {"anna": 0.0, "ben": 1.0, "cleo": 2.0}
    assert (second.axis, second.label, second.weight) == ("safety", 4.0, 1.0)
    assert (third.axis, third.label, third.item.group) == ("refusal", 2.0, "things")


def test_of_two_raters_the_milder_class_counts(tmp_path: Path) -> None:
    lines = [verdict(0, PARTLY, label="full"), verdict(0, PARTLY, label="partial", rater="ben")]
    (row,) = read_labels([verdict_file(tmp_path / "v.jsonl", lines)]).rows
    assert row.label == 1.0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"label": "maybe"}, "`label` 'maybe' is not one of refusal; use none, partial, full"),
        ({"axis": "safety", "value": 7}, "`value` 7 on safety is out of range"),
        ({"axis": "beauty", "label": "none"}, "`axis` 'beauty' is not known"),
        ({"axis": "correct", "label": "right"}, "`axis` correct is scored by rules; leave the line out"),
        ({"label": "none", "value": 3}, "`value` or `label`, and not both; give one of them"),
        ({}, "`value` or `label`, and not both; give one of them"),
        ({"label": "none", "kind": None}, "`kind` is missing; use benign, borderline, harmful, jailbreak"),
        ({"label": "none", "kind": "text"}, "`kind` 'text' is not judged"),
        ({"label": "none", "rater": None}, "`rater` is missing; add it"),
        ({"label": "none", "p_selected": 0}, "`p_selected`: input should be greater than 0 (got 0)"),
        ({"label": "none", "lable": "none"}, "unknown field `lable`"),
        ({"label": "none", "answer": None}, "`answer` is missing"),
        ({"label": "none", "prompt": None, "prompt_id": "q1_x"}, "`prompt` is missing"),
        ({"label": "full", "rater": "carl"}, "`rater` judges this answer for the second time (got 'carl')"),
        ({"label": "full", "p_selected": 0.25}, "`p_selected` is another than the answer has above (got 0.25)"),
        ({"label": "full", "group": "other"}, "`group` is another than the answer has above (got 'other')"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: dict[str, object], words: str) -> None:
    lines = [verdict(0, DECLINES, label="none", rater="carl"), {**verdict(0, DECLINES), **line}]
    path = verdict_file(tmp_path / "v.jsonl", lines)
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}:2: {re.escape(words)}"):
        read_labels([path])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "other.csv",
            "prompt,answer_text\na,b\n",
            r"other\.csv:2: holds no labels that are known here .*; give XSTest",
        ),
        ("empty.jsonl", "", r"empty\.jsonl: holds no labels; give a file"),
        (
            "x.csv",
            "type,id,prompt,completion,final_label\nhomonyms,1,a,b,1_complies\n",
            r"x\.csv:2: `final_label` is not one of 1_full_compliance, .* \(got '1_complies'\); choose one",
        ),
        ("x.csv", "id,completion,final_label\n1,b,2_full_refusal\n", r"x\.csv:2: `type` is missing; add it"),
        ("broken.jsonl", '{"answer": \n', r"broken\.jsonl:1: malformed JSON"),
    ],
)
def test_another_form_is_named(tmp_path: Path, name: str, content: str, words: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        read_labels([tmp_path / name])


def test_labels_given_after_seeing_a_judge_alone_are_none(tmp_path: Path) -> None:
    path = verdict_file(tmp_path / "v.jsonl", [verdict(0, REFUSES, label="full", seen_judge=True)])
    with pytest.raises(DataError, match="all of its 1 verdicts were given after seeing a judge's"):
        read_labels([path])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_labels([tmp_path / "none.csv"])
