"""Raw texts: lines, paragraphs and fields, and one line for what cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergescope.ground.errors import DataError
from trainer.synthesis.config import SourceSection
from trainer.synthesis.sources import read_source


def texts(path: Path, **keys: object) -> list[tuple[str, str]]:
    section = SourceSection.model_validate({"path": path, **keys})
    return [(raw.place, raw.text) for raw in read_source(section, path)]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_lines_and_paragraphs(tmp_path: Path) -> None:
    path = written(tmp_path, "posts.txt", "\ufeff一つ目\r\n\r\n 二つ目\n続き\n \n\n三つ目")
    assert texts(path) == [("line 1", "一つ目"), ("line 3", "二つ目"), ("line 4", "続き"), ("line 7", "三つ目")]
    found = texts(path, split="paragraph")
    assert found == [("line 1", "一つ目"), ("line 3", "二つ目\n続き"), ("line 7", "三つ目")]


def test_fields_of_jsonl_and_csv(tmp_path: Path) -> None:
    lines = written(tmp_path, "log.jsonl", '{"text": "甲"}\n\n{"text": ""}\n{"text": "乙"}\n')
    assert texts(lines) == [("line 1", "甲"), ("line 4", "乙")]
    table = written(tmp_path, "list.csv", 'id,body\n1,"甲\n乙"\n2,\n3,丙\n')
    assert texts(table, field="body") == [("line 2", "甲\n乙"), ("line 5", "丙")]


def test_a_source_keeps_its_kind_licence_and_name(tmp_path: Path) -> None:
    path = written(tmp_path, "posts.txt", "甲\n")
    section = SourceSection(path=path, kind="borderline", licence="CC0-1.0")
    (raw,) = read_source(section, path)
    assert (raw.kind, raw.licence, raw.source) == ("borderline", "CC0-1.0", "posts.txt")


@pytest.mark.parametrize(
    ("name", "content", "where", "words"),
    [
        ("posts.doc", "甲", "posts.doc", "no known form of source"),
        ("posts", "甲", "posts", "no known form of source"),
        ("posts.txt", "甲".encode("cp932"), "posts.txt:1", "not UTF-8"),
        ("posts.txt", " \n\n", "posts.txt", "holds no text"),
        ("posts.txt", "甲\0", "posts.txt", "binary data"),
        ("log.jsonl", '{"text": "甲"}\n{"body": "乙"}\n', "log.jsonl:2", "set `field` to one of body"),
        ("log.jsonl", '{"text": ["甲"]}\n', "log.jsonl:1", "not a string"),
        ("log.jsonl", '{"text": \n', "log.jsonl:1", "malformed JSON"),
        ("list.csv", "id,body\n1,甲\n", "list.csv:2", "`text` is missing"),
    ],
)
def test_a_bad_source_is_one_line(tmp_path: Path, name: str, content: str | bytes, where: str, words: str) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(DataError) as error:
        texts(path)
    assert error.value.line().startswith(f"{tmp_path / where}: ")
    assert words in error.value.line()
    assert "\n" not in error.value.line()


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        texts(tmp_path / "posts.txt")
