"""Ids: the same content gives the same id, however it was written down."""

from decimal import Decimal
from pathlib import Path

import pytest

from mergescope.ground.ids import canonical_json, content_id, decimal6, file_hash, full_hash, shortest, text_hash


def test_canonical_json_sorts_keys_drops_blanks_and_writes_decimals_as_strings() -> None:
    assert canonical_json({"b": [1, True, None], "a": Decimal("0.50")}) == '{"a":"0.5","b":[1,true,null]}'


def test_numbers_that_are_equal_have_one_form() -> None:
    assert full_hash(0.1) == full_hash(Decimal("0.1")) == full_hash(Decimal("0.100"))
    assert full_hash(Decimal("1E+1")) == full_hash(Decimal(10))
    assert full_hash(Decimal("-0")) == full_hash(Decimal(0))


def test_unicode_forms_of_one_text_share_an_id_but_not_their_own_hash() -> None:
    composed, decomposed = "が", "か\u3099"
    assert full_hash({composed: 1}) == full_hash({decomposed: 1})
    assert text_hash(composed) != text_hash(decomposed)


def test_lone_surrogates_are_kept_apart() -> None:
    assert text_hash("\ud800") != text_hash("\ud801")
    assert full_hash("\ud800") != full_hash("\ud801")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_has_no_identity(value: float) -> None:
    with pytest.raises(ValueError, match="cannot be part of an id"):
        full_hash(value)


@pytest.mark.parametrize("value", [Path("x"), {1: "a"}, {1, 2}, b"x"])
def test_types_without_a_canonical_form_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        full_hash(value)


def test_content_id_is_a_prefix_and_128_bits_of_the_hash() -> None:
    assert content_id("p1", [1]) == f"p1_{full_hash([1])[:32]}"


def test_file_hash_is_sha256_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert file_hash(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("value", "text"), [(0.9, "0.9"), (1 - 0.5, "0.5"), ("0.500000", "0.5"), (10, "10"), (-0.0, "0")]
)
def test_decimal6_goes_through_the_shortest_form(value: float | str, text: str) -> None:
    assert str(decimal6(value)) == text


@pytest.mark.parametrize("value", ["0.1234567", 1 - 0.9, "nan", "inf", "a", True, "", "1e30", "1E+2000000"])
def test_decimal6_refuses_what_does_not_fit(value: float | str) -> None:
    with pytest.raises(ValueError, match="must"):
        decimal6(value)


def test_shortest_has_no_exponent() -> None:
    assert str(shortest(Decimal("1E+3"))) == "1000"
