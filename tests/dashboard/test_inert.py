import csv
import io

import pytest

from dashboard.page.inert import csv_bytes, csv_cell, escaped, file_name, label, labels, one_line, visible


def test_tricky_characters_are_written_out() -> None:
    assert visible("a\u202eb\u200bc\x1b[31m\ud800") == "a<U+202E>b<U+200B>c<U+001B>[31m<U+D800>"


def test_lines_and_tabs_stay() -> None:
    assert visible("一\n二\t三") == "一\n二\t三"


def test_long_texts_are_cut_and_say_so() -> None:
    assert visible("x" * 30, limit=10) == "x" * 10 + " … (+20)"


def test_markup_is_text() -> None:
    assert escaped("<img src=x onerror='a'>\"&") == "&lt;img src=x onerror=&#x27;a&#x27;&gt;&quot;&amp;"


def test_one_line() -> None:
    assert one_line("a\n b   c", 10) == "a b c"
    assert one_line("x" * 100, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "  ="])
def test_no_cell_is_a_formula(start: str) -> None:
    assert csv_cell(f"{start}cmd|calc") == f"'{start}cmd|calc"


def test_numbers_stay_numbers() -> None:
    assert csv_cell(-1.5) == -1.5
    assert csv_cell(None) == ""


def test_a_csv_file_reads_back() -> None:
    data = csv_bytes(["a", "b"], [["一,二", None], ["改\n行", 3]])
    assert data.startswith("\ufeff".encode())
    assert list(csv.reader(io.StringIO(data.decode("utf-8-sig")))) == [["a", "b"], ["一,二", ""], ["改\n行", "3"]]


def test_options_are_one_line_each_and_never_alike() -> None:
    huge = ["x" * 100, "x" * 101, "a\u202eb", ""]
    assert list(labels(huge, 10).values()) == ["xxxxxxxxx…", "xxxxxxxxx… (2)", "a<U+202E>b", ""]
    assert list(labels(huge, 10)) == huge


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("demo-metrics.csv", "demo-metrics.csv"),
        ("学習-比較.csv", "学習-比較.csv"),
        ("../../etc/passwd", "etc-passwd"),
        ("a\r\nSet-Cookie: b=1.csv", "a-Set-Cookie-b-1.csv"),
        ("<script>\u202egnp.exe\ud800.csv", "script-gnp.exe-.csv"),
        (".hidden", "hidden"),
        ("///", "file"),
        ("x" * 500 + ".csv", "x" * 76 + ".csv"),
    ],
)
def test_a_downloads_name_is_no_path_and_no_header(name: str, kept: str) -> None:
    assert file_name(name) == kept


def test_nothing_in_a_label_acts() -> None:
    assert label("safety (1–5) of r 0.30, 95 %") == "safety (1–5) of r 0.30, 95 %"
    assert label(":red[x] **b** $a$ <b>") == r"\:red\[x\] \*\*b\*\* \$a\$ \<b\>"
    assert label("[c](javascript:x) http://a.example www.a.example a@b.example") == (
        r"\[c\](javascript\:x) http\: //a.example www .a.example a@ b.example"
    )
    assert label("- a") == r"\- a"
    assert label("1. a") == r"1\. a"
    assert label("a\u202eb\nc") == r"a\<U+202E\>b c"
