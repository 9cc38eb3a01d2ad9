"""Every malformed file of triples gives one line with file, line, field and cure."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mergescope.ground.errors import DataError
from trainer.triples import Triple, check_distinct, load_triples

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


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in ROW.items() if key != name} | ({} if name == "idx" else {"idx": 2})


def changed(**fields: Any) -> dict[str, Any]:
    return {**ROW, "idx": 2, **fields}


def of_meta(**levels: Any) -> dict[str, Any]:
    return changed(meta={**META, **{name.replace("_", "-"): level for name, level in levels.items()}})


HALF = json.dumps(changed(prompt="a\ud83d"))
"""A line whose prompt ends in the first half of an emoji."""


@pytest.mark.parametrize(
    ("row", "place", "what", "value", "cure"),
    [
        # the line
        ("{not json", ":2: ", "malformed JSON: Expecting property name", None, "write {"),
        ('{"idx": 2, "prompt": "質', ":2: ", "malformed JSON: Invalid control character", None, "write {"),
        ("[1]", ":2: ", "a list, not a JSON object", None, "write {"),
        ('"a"', ":2: ", "a text, not a JSON object", None, "write {"),
        ("null", ":2: ", "a null, not a JSON object", None, "write {"),
        ("{'idx': 2}", ":2: ", "written as Python prints it", None, "json.dumps"),
        ('{"idx": 2} {"idx": 3}', ":2: ", "more than one value on the line, from column 12", None, "a line of its own"),
        ('{"idx": 2},', ":2: ", "more than one value on the line, from column 11", None, "a line of its own"),
        ('{"idx": 2}\r{"idx": 3}', ":2: ", "more than one value on the line", None, "a line of its own"),
        ('{"idx": 2, "idx": 3}', ":2: ", "malformed JSON: `idx` stands twice in one object", None, "correct the line"),
        ('{"meta": {"a": 1, "a": 1}}', ":2: ", "malformed JSON: `a` stands twice", None, "correct the line"),
        ('{"idx": ' + "9" * 5000 + "}", ":2: ", "malformed JSON: Exceeds the limit", None, "correct the line"),
        ("[" * 100_000, ":2: ", "malformed JSON: nested too deeply", None, "write {"),
        ("\ufeff" + json.dumps(changed()), ":2: ", "a byte order mark within the file", None, "joined here"),
        (json.dumps(changed()) + "\0\0", ":2: ", "holds NUL bytes", None, "remove the line"),
        # fields
        (without("idx"), ":2: idx: ", "missing field", None, "add it as a text"),
        (without("prompt"), ":2: prompt: ", "missing field", None, "add it as a text"),
        (without("chosen"), ":2: chosen: ", "missing field", None, "add it as a text"),
        (without("rejected"), ":2: rejected: ", "missing field", None, "`mergescope data make`"),
        (without("meta"), ":2: meta: ", "missing field", None, "write an object with risk-area, harm-type, specific"),
        ({**ROW, "idx": None}, ":2: idx: ", "missing field", None, "add it"),
        ({**ROW, "idx": True}, ":2: idx: ", "a truth value, not a name", "True", "a whole number or a text"),
        ({**ROW, "idx": 1.5}, ":2: idx: ", "a number, not a name", "1.5", "a whole number or a text"),
        ({**ROW, "idx": float("nan")}, ":2: idx: ", "a number, not a name", "nan", "a whole number or a text"),
        ({**ROW, "idx": " "}, ":2: idx: ", "nothing to be seen in it", "' '", "not empty"),
        (ROW, ":2: idx: ", "idx stands twice", "'1'", "the first is on line 1"),
        ({**ROW, "idx": "1"}, ":2: idx: ", "idx stands twice", "'1'", "the first is on line 1"),
        (changed(prompt="  "), ":2: prompt: ", "nothing to be seen in it", "'  '", "not empty"),
        (changed(prompt="\u3000\u200b"), ":2: prompt: ", "nothing to be seen in it", None, "not empty"),
        (changed(chosen=""), ":2: chosen: ", "nothing to be seen in it", None, "not empty"),
        (changed(prompt=float("nan")), ":2: prompt: ", "a number, not a text", "nan", "write a text"),
        (changed(prompt=float("inf")), ":2: prompt: ", "a number, not a text", "inf", "write a text"),
        (changed(rejected=3), ":2: rejected: ", "a number, not a text", None, "write a text"),
        (changed(chosen={"a": 1}), ":2: chosen: ", "an object, not a text", None, "write a text"),
        (changed(prompt=["質問"]), ":2: prompt: ", "a list, not a text", "['質問']", "write a text"),
        (
            changed(prompt=[{"role": "user", "content": "質問"}]),
            ":2: prompt: ",
            "a list",
            None,
            "`mergescope data import",
        ),
        (HALF, ":2: prompt: ", "half a character (a lone surrogate)", r"'a\ud83d'", "write the whole character"),
        (
            json.dumps(changed(chosen="a\ud83d")),
            ":2: chosen: ",
            "half a character (a lone surrogate)",
            None,
            "whole character",
        ),
        (changed(prompt="a\0b"), ":2: prompt: ", "holds a NUL character", "'a\\x00b'", "remove it"),
        (changed(rejected="よい答え"), ":2: ", "chosen and rejected are equal", None, "drop the triple"),
        (changed(rejected=" よい答え\n"), ":2: ", "chosen and rejected are equal", None, "drop the triple"),
        (changed(meta="x"), ":2: meta: ", "a text, no object", "'x'", "write an object"),
        (changed(meta=json.dumps(META)), ":2: meta: ", "an object written as text", None, "write an object"),
        (changed(meta=[META]), ":2: meta: ", "a list, no object", None, "write an object"),
        (changed(meta={"meta": META}), ":2: ", "unknown field in meta", "'meta'", "remove it; known fields: risk-area"),
        (changed(meta={"risk_area": "悪用"}), ":2: ", "unknown field in meta", "'risk_area'", "call it `risk-area`"),
        (changed(meta={"risk-area": "悪用"}), ":2: meta.harm-type: ", "missing field", None, "add it"),
        (of_meta(specific_harm=["a"]), ":2: meta.specific-harm: ", "a list, not a text", "['a']", "write a text"),
        (of_meta(harm_type={"a": 1}), ":2: meta.harm-type: ", "an object, not a text", "{'a': 1}", "write a text"),
        (of_meta(risk_area=""), ":2: meta.risk-area: ", "nothing to be seen", "''", "not empty"),
        (changed(**META), ":2: ", "unknown field", "'risk-area'", "put it inside `meta`"),
        (changed(license="MIT"), ":2: ", "unknown field", "'license'", "call it `licence`"),
        (changed(danger=5), ":2: ", "unknown field", "'danger'", "remove it; known fields: prompt, chosen"),
        (changed(source=5), ":2: source: ", "a number, not a text", "5", "write a text"),
        (changed(licence=""), ":2: licence: ", "nothing to be seen in it", "''", "not empty"),
    ],
)
def test_bad_row_names_its_place_value_and_cure(
    tmp_path: Path, row: object, place: str, what: str, value: str | None, cure: str
) -> None:
    path = written(tmp_path, ROW, row)
    with pytest.raises(DataError) as caught:
        load_triples(path)
    line = caught.value.line()
    assert line.startswith(f"{path}{place}{what}"), line
    assert value is None or f"(got {value})" in line
    assert cure in str(caught.value.cure)
    assert "\n" not in line
    assert len(line) < 600


LINE = json.dumps(ROW, ensure_ascii=False).encode()


def gzipped() -> bytes:
    return gzip.compress(LINE)


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("triples.jsonl", LINE)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "place", "what", "cure"),
    [
        ("x.jsonl", b"", "", "holds no triples", "write one JSON object a line"),
        ("x.jsonl", b"\xef\xbb\xbf\r\n \n", "", "holds no triples", "write one JSON object a line"),
        ("x.jsonl.gz", gzipped(), "", "compressed with gzip", "unpack it"),
        ("x.zip", zipped(), "", "an Excel workbook or a zip file", "unpack it"),
        ("x.jsonl", b"PAR1\x15\x04", "", "Parquet, not JSON", "mergescope data import"),
        ("x.jsonl", LINE.decode().encode("utf-16"), "", "UTF-16", "save the file as UTF-8"),
        ("x.jsonl", LINE.decode().encode("utf-16-le"), ":1", "holds NUL bytes", "write the file again"),
        (
            "x.jsonl",
            LINE + b"\n" + "質問".encode("shift_jis"),
            ":2",
            "not UTF-8 at byte 0 of the line, it may be",
            "UTF-8",
        ),
        ("x.jsonl", LINE + b"\n\n" + LINE[:-30], ":3", "the last line is cut off", "write the file again, or remove"),
        ("x.jsonl", LINE[:-9], ":1", "the last line is cut off", "write the file again"),
        ("x.jsonl", b"[" + LINE + b"]", ":1", "a JSON array", "write one object a line, no brackets"),
        ("x.jsonl", b"\n[\n" + LINE + b"\n]\n", ":2", "a JSON array", "write one object a line, no brackets"),
        ("x.jsonl", json.dumps(ROW, indent=1).encode(), ":1", "an object over several lines", "on one line"),
        ("x.jsonl", b"idx,prompt,chosen,rejected\n1,a,b,c\n", ":1", "CSV, not JSON", "one JSON object a line"),
        ("x.jsonl", b"idx\tprompt\n1\ta\n", ":1", "CSV, not JSON", "one JSON object a line"),
        ("x.csv", b'"idx"\n1\n', ":1", "CSV, not JSON", "one JSON object a line"),
        ("x.jsonl", LINE + b"\n" + b" " * (1 + (1 << 24)), ":2", "a line of more than 16 MB", "shorter texts"),
    ],
)
def test_bad_file_is_one_line(tmp_path: Path, name: str, content: bytes, place: str, what: str, cure: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_triples(path)
    line = caught.value.line()
    assert line.startswith(f"{path}{place}: "), line
    assert what in line
    assert cure in str(caught.value.cure)
    assert "\n" not in line


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + LINE + b"\n",
        LINE + b"\r\n\r\n",
        LINE,
        b"\n \n" + LINE + b"\n\n",
        json.dumps(ROW).encode(),
        LINE[:-1] + b', "source": null}\n',
    ],
)
def test_what_only_looks_odd_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    (triple,) = load_triples(path)
    assert triple == Triple("1", "質問", "よい答え", "悪い答え", META)


def test_separators_within_a_text_end_no_line(tmp_path: Path) -> None:
    (triple,) = load_triples(written(tmp_path, {**ROW, "prompt": "a\u2028b\x85c\r\nd"}))
    assert triple.prompt == "a\u2028b\x85c\r\nd"


def test_all_that_is_wrong_with_lines_can_be_heard(tmp_path: Path) -> None:
    path = written(tmp_path, ROW, "{", changed(prompt=3), ROW, changed())
    heard: list[DataError] = []
    assert [triple.idx for triple in load_triples(path, heard.append)] == ["1", "2"]
    assert [error.where for error in heard] == [f"{path}:2", f"{path}:3: prompt", f"{path}:4: idx"]


def test_a_file_of_bad_lines_alone_is_heard_and_not_called_empty(tmp_path: Path) -> None:
    heard: list[DataError] = []
    assert load_triples(written(tmp_path, "{x", "{"), heard.append) == []
    assert len(heard) == 2


def test_what_is_wrong_with_the_whole_file_is_raised_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(DataError, match="CSV"):
        load_triples(path, pytest.fail)


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; check the path"):
        load_triples(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="a folder, not a file; name the"):
        load_triples(tmp_path)


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


INSERTED = ('"', "{", "}", "[", "\n", "\\", "\0", "\ufeff", "null", "NaN", "1e999", "\\ud800", ",", "\x1f\x8b", "PAR1")


def damaged(rng: random.Random, whole: bytes) -> bytes:
    """A file that a few accidents happened to: a byte changed, a piece lost, repeated or put in, the end cut off."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(whole))
        other = bytes([rng.randrange(256)])
        piece = rng.choice([b"", other, rng.choice(INSERTED).encode(), whole[: rng.randrange(60)]])
        whole = whole[:at] + piece + whole[at + rng.choice([0, 1, rng.randrange(30)]) :] or b"x"
        whole = whole[:at] or b"x" if rng.random() < 0.1 else whole
    return whole


def test_whatever_happened_to_a_file_is_one_line_without_an_answer(tmp_path: Path) -> None:
    rng, path = random.Random(5), tmp_path / "x.jsonl"
    refused: list[DataError] = []
    for _ in range(1000):
        path.write_bytes(damaged(rng, LINE + b"\n" + json.dumps(changed()).encode() + b"\r\n"))
        try:
            load_triples(path)
        except DataError as error:
            refused.append(error)
    assert 500 < len(refused) < 1000
    for error in refused:
        assert error.line().startswith(f"{path}")
        assert "\n" not in error.line()
        assert "悪い答え" not in error.line()
        assert error.cure
