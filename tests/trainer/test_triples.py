"""Every malformed file of triples gives one line with file, line, field and cure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergescope.ground.errors import DataError
from trainer.triples import Triple, check_distinct, check_overlap, load_triples

META = {"risk-area": "悪用", "harm-type": "違法行為への加担", "specific-harm": "テロリズム"}
ROW: dict[str, Any] = {"idx": 1, "prompt": "質問", "chosen": "よい答え", "rejected": "悪い答え", "meta": META}


def written(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "triples.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_whole_row_is_read_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    path = written(tmp_path, {**ROW, "licence": "CC0-1.0"}, "", {**ROW, "idx": "b"})
    first, second = load_triples(path)
    assert first == Triple("1", "質問", "よい答え", "悪い答え", META, licence="CC0-1.0")
    assert second.idx == "b"
    assert second.licence is None


@pytest.mark.parametrize(
    ("row", "place", "what"),
    [
        ("{not json", ":2: ", "malformed JSON"),
        ("[1]", ":2: ", "JSON object"),
        ({k: v for k, v in ROW.items() if k != "chosen"}, ":2: chosen: ", "missing field"),
        ({**ROW, "idx": 2, "prompt": "  "}, ":2: prompt: ", "not usable"),
        ({**ROW, "idx": 2, "rejected": 3}, ":2: rejected: ", "not usable"),
        ({**ROW, "idx": None}, ":2: idx: ", "missing field"),
        ({**ROW, "idx": True}, ":2: idx: ", "not usable"),
        ({**ROW, "idx": 2, "meta": "x"}, ":2: meta: ", "not usable"),
        ({**ROW, "idx": 2, "meta": {"risk-area": "悪用"}}, ":2: meta.harm-type: ", "missing field"),
        ({**ROW, "idx": 2, "source": 5}, ":2: source: ", "not usable"),
        ({**ROW, "idx": 2, "rejected": "よい答え"}, ":2: ", "are equal"),
        (ROW, ":2: idx: ", "stands twice"),
    ],
)
def test_bad_row_names_its_place_and_cure(tmp_path: Path, row: object, place: str, what: str) -> None:
    path = written(tmp_path, ROW, row)
    with pytest.raises(DataError) as caught:
        load_triples(path)
    line = caught.value.line()
    assert line.startswith(f"{path}{place}")
    assert what in line
    assert caught.value.cure
    assert "\n" not in line


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_triples(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="holds no triples"):
        load_triples(written(tmp_path, "", "  "))


def test_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "sjis.jsonl"
    path.write_bytes("質問".encode("shift_jis"))
    with pytest.raises(DataError, match="not UTF-8"):
        load_triples(path)


def test_overlap_is_found_across_unicode_forms(tmp_path: Path) -> None:
    triples = load_triples(written(tmp_path, {**ROW, "prompt": "ＡＢＣは？"}))
    check_overlap(triples, ["ABCとは?"])
    with pytest.raises(DataError, match="both training and held-out"):
        check_overlap(triples, ["別の質問", " ABCは? "])


def test_idx_may_not_stand_in_two_files(tmp_path: Path) -> None:
    triples = load_triples(written(tmp_path, ROW))
    check_distinct(triples)
    with pytest.raises(DataError, match="two files"):
        check_distinct([*triples, *triples])


@pytest.mark.parametrize(
    "row",
    [
        '{"idx": 2, "rejected": "悪い答え"',
        ["悪い答え"],
        {**ROW, "idx": 2, "chosen": "悪い答え"},
        {**ROW, "idx": 2, "rejected": ["悪い答え"]},
    ],
)
def test_errors_never_show_an_answer(tmp_path: Path, row: object) -> None:
    with pytest.raises(DataError) as caught:
        load_triples(written(tmp_path, ROW, row))
    assert "悪い答え" not in caught.value.line()
