"""Files of questions, and one line for what is wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mergescope.ground.errors import DataError
from trainer.synthesis.questions import read_questions

META = {"risk-area": "甲", "harm-type": "乙", "specific-harm": "丙"}


def written(folder: Path, *rows: object) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_questions_are_harmful_unless_they_say_otherwise(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"prompt": "質問1", "meta": {**META, "more": "x"}, "chosen": "…", "source": "s", "made_by": "me"},
        {"prompt": "質問2", "kind": "borderline", "meta": META, "licence": "CC0-1.0"},
    )
    first, second = read_questions(path)
    assert (first.kind, first.meta, first.source, first.licence, first.made_by) == ("harmful", META, "s", None, "me")
    assert (second.kind, second.licence) == ("borderline", "CC0-1.0")
    assert first.question_id != second.question_id


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"meta": META}, "`prompt` is missing"),
        ({"prompt": " ", "meta": META}, "`prompt` is not a string with text"),
        ({"prompt": "質問"}, "`meta` is not usable"),
        ({"prompt": "質問", "meta": {"risk-area": "甲"}}, "`meta` is not usable"),
        ({"prompt": "質問", "meta": {**META, "harm-type": 3}}, "`meta` is not usable"),
        ({"prompt": "質問", "meta": META, "kind": "benign"}, "`kind` is not one of harmful, borderline"),
        ({"prompt": "質問", "meta": META, "source": 3}, "`source` is not a string"),
        ([1], "not a JSON object"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: object, words: str) -> None:
    path = written(tmp_path, {"prompt": "質問", "meta": META}, row)
    with pytest.raises(DataError) as error:
        list(read_questions(path))
    assert error.value.line().startswith(f"{path}:2: ")
    assert words in error.value.line()


def test_an_empty_file_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no questions"):
        list(read_questions(written(tmp_path)))
