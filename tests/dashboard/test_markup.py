from dashboard.page.markup import Card, Segment, card, differences, plain, strip, table


def _card(text: str, *, blurred: bool) -> str:
    value = Card("r 0.5", "unsafe", "unsafe", plain(text), "safety 1", ("<b>why</b>",), blurred=blurred, marks=())
    return card(value, "show")


def test_answers_and_reasons_are_text() -> None:
    html = _card("<script>alert(1)</script>", blurred=False)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "&lt;b&gt;why&lt;/b&gt;" in html


def test_a_blurred_answer_has_a_check_box() -> None:
    assert 'type="checkbox"' in _card("x", blurred=True)
    assert "ms-blurred" in _card("x", blurred=True)
    assert "ms-blurred" not in _card("x", blurred=False)


def test_tables_and_strips_escape() -> None:
    assert "<i>x" not in table(["", "a"], [["<i>x", "1"]], "t")
    assert "<u>" not in strip([("<u>", "n")], "<u>")


def test_differences_by_word() -> None:
    assert differences("刺身を丼に盛る", "刺身を1cm角に切る") == (
        Segment("刺身を", False),
        Segment("1cm角", True),
        Segment("に", False),
        Segment("切", True),
        Segment("る", False),
    )


def test_equal_answers_have_no_difference() -> None:
    assert differences("同じ answer", "同じ answer") == (Segment("同じ answer", False),)
    assert differences("x", "") == ()


def test_very_long_answers_are_not_compared() -> None:
    assert differences("あ" * 5000, "い" * 5000) == (Segment("い" * 5000, False),)
