import pytest

from dashboard.page.rounding import Shown, difference, digits, estimate, number


@pytest.mark.parametrize(
    ("half", "places"), [(0.06, 2), (0.5, 1), (2.5, 0), (25.0, 0), (0.0004, 2), (0.0, 2), (None, 2)]
)
def test_one_digit_of_the_half_width_is_kept(half: float | None, places: int) -> None:
    assert digits(half) == places


def test_estimates() -> None:
    assert estimate(4.4231, 4.36, 4.48, percent=False) == Shown("4.42", "4.36–4.48")
    assert estimate(0.0512, 0.03, 0.079, percent=True) == Shown("5\u00a0%", "3–8")
    assert estimate(None, None, None, percent=True) == Shown("—", "")
    assert estimate(0.5, None, None, percent=True) == Shown("50.0\u00a0%", "")


def test_differences_have_a_sign() -> None:
    assert difference(1.207, 1.12, 1.30, percent=False) == "+1.21\u00a0±\u00a00.09"
    assert difference(-0.07, -0.11, -0.03, percent=True) == "−7\u00a0±\u00a04"
    assert difference(None, None, None, percent=False) == "—"


def test_there_is_no_negative_zero() -> None:
    assert number(-0.004, 2, sign=True) == "0.00"
