import csv
import io

import pytest

from dashboard.inert import csv_bytes, csv_cell, escaped, one_line, visible


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
