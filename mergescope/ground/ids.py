"""Content ids: the first 128 bits of sha256 over canonical JSON, with a prefix for kind and format version."""

from __future__ import annotations

import hashlib
import json
import math
import unicodedata
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path

MICRO = Decimal("0.000001")
"""Ratios, densities and lambdas have at most 6 digits after the point: DECIMAL(9,6) in the store."""


def canonical_json(value: object) -> str:
    """JSON with sorted keys, no blanks, Unicode NFC, and decimals as their shortest string.

    Floats are written as decimal strings as well, so that 0.1 from YAML and Decimal("0.1") agree. NaN and
    infinities raise ValueError: they have no place in an identity.
    """
    return json.dumps(_canonical(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def content_id(prefix: str, value: object) -> str:
    """`prefix` (kind and format version, such as "p1") and 32 hex digits of the value's hash."""
    return f"{prefix}_{full_hash(value)[:32]}"


def full_hash(value: object) -> str:
    """sha256 in hex over the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def text_hash(text: str) -> str:
    """sha256 in hex over the text's own bytes; lone surrogates are kept apart, not replaced."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 in hex over a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def decimal6(value: Decimal | int | float | str) -> Decimal:
    """`value` as a decimal of at most 6 digits after the point; floats go through their shortest form.

    Raises ValueError for what is no finite number, is 10**12 or larger, or needs more than 6 digits.
    """
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("must be a number") from None
    if not number.is_finite() or number.adjusted() >= 12:
        raise ValueError("must be a finite number of sensible size")
    rounded = number.quantize(MICRO, ROUND_HALF_EVEN)
    if rounded != number:
        raise ValueError("must have at most 6 digits after the point")
    return shortest(rounded)


def shortest(number: Decimal) -> Decimal:
    """The same number without trailing zeros and without an exponent: 0.50 -> 0.5, 1E+1 -> 10, -0 -> 0."""
    if number == 0:
        return Decimal(0)
    return Decimal(format(number.normalize(), "f"))


def _canonical(value: object) -> object:
    match value:
        case None | bool() | int():
            return value
        case str():
            return unicodedata.normalize("NFC", value)
        case Decimal():
            return str(shortest(value))
        case float():
            if not math.isfinite(value):
                raise ValueError(f"{value!r} cannot be part of an id")
            return str(shortest(Decimal(str(value))))
        case Path():
            raise TypeError("a path is not content: hash what it holds")
        case dict():
            return {_key(k): _canonical(v) for k, v in value.items()}
        case list() | tuple():
            return [_canonical(v) for v in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"key {key!r} is not a string")
    return unicodedata.normalize("NFC", key)
