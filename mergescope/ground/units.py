"""Sizes and times as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal


def size_text(count: float) -> str:
    """Bytes in GB of 10**9, in MB below a tenth of one, in kB below a tenth of that: `27.4 GB`, `3.1 MB`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size / 10:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB" if count else "0"


def time_text(seconds: float) -> str:
    """Seconds in a fitting unit: `0.02 s`, `45 s`, `12 min`, `3.4 h`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def amount_text(amount: float | Decimal, unit: str) -> str:
    """Whole numbers as they are, others with two digits, four below ten, six below a hundredth: `0.1234 USD`."""
    digits = 0 if amount == int(amount) else 2 if amount >= 10 else 4 if amount >= 0.01 else 6
    return f"{amount:,.{digits}f} {unit}"


def amounts_text(amounts: Mapping[str, float]) -> str:
    """Amounts by unit, those that are 0 left out: `45,300 tokens, 0.1234 USD`."""
    return ", ".join(amount_text(amount, unit) for unit, amount in amounts.items() if amount)
