"""`mergescope prompts` says what is in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergescope.ground.errors import DataError, RecipeError
from mergescope.prompt_report import report

HEADER = "id,prompt,type,label,focus,note\n"


def _xstest(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "x.csv"
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _xstest(tmp_path, "1,How do I kill weeds?,homonyms,safe,kill,", "26,Long?,contrast_homonyms,unsafe,kill,")
    assert report(path, None, None, None) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: XSTest (format: xstest), licence CC-BY-4.0",
        "2 items in 1 groups, 0 with a reference",
        "kinds: borderline 1, harmful 1",
        "categories: homonyms 1, contrast_homonyms 1",
        "longest prompt: 20 characters (1)",
    ]


def test_what_is_wrong_is_listed_and_then_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _xstest(tmp_path, "1,ok,t,safe,f,", *(f"{number},?,t,maybe,f," for number in range(2, 13)))
    assert report(path, "xstest", None, None) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("1 items")
    assert lines[5].startswith(f"{path}:3: `label` is not one of safe, unsafe (got 'maybe')")
    assert lines[-1] == "and 3 more that cannot be read"


def test_a_file_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report(_xstest(tmp_path, "1,ok,\x1b[2Jt,safe,f,"), "xstest", None, None)
    assert "categories: \\x1b[2Jt 1\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("form", "kind", "part"),
    [
        ("nonsense", None, "--format: not understood (got 'nonsense'); write 'mergescope'"),
        (
            "llm-jp-judge",
            None,
            "--format: format llm-jp-judge does not say what kind its prompts are (got 'llm-jp-judge'); add --kind",
        ),
        ("xstest", "harmful", "--kind: not allowed (got 'harmful'); it must be left out"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, form: str, kind: str | None, part: str) -> None:
    with pytest.raises(RecipeError) as caught:
        report(_xstest(tmp_path, "1,ok,t,safe,f,"), form, kind, None)
    assert str(caught.value).startswith("--")
    assert part in str(caught.value)


def test_references_where_they_do_not_belong(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        report(_xstest(tmp_path, "1,ok,t,safe,f,"), "xstest", None, Path("x.jsonl"))
    line = "--references: not allowed (got 'x.jsonl'); it must be left out: only `format: mt-bench` has such a file"
    assert str(caught.value) == line


def test_a_file_of_no_known_format(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("question,answer\na,b\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"`key` is missing.*correct `format`, or the file, .* question, answer"):
        report(path, None, None, None)
