"""Numbers as text, with no more digits than their interval supports."""

from __future__ import annotations

import math
from dataclasses import dataclass

MINUS = "−"
GAP = "\u00a0"
"""A blank at which no line breaks."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One estimate as table cells."""

    value: str
    interval: str
    """`low–high`; empty where there is no interval."""


def digits(half_width: float | None, fallback: int = 2) -> int:
    """Digits after the point so that the half width keeps one significant digit: .06 -> 2, 2.5 -> 0, at most 2."""
    if half_width is None or not half_width > 0:
        return fallback
    return min(2, max(0, -math.floor(math.log10(half_width))))


def estimate(value: float | None, low: float | None, high: float | None, *, percent: bool) -> Shown:
    """An estimate and its interval; `percent` turns a share (0-1) into per cent. None is an em dash."""
    if value is None:
        return Shown("—", "")
    factor = 100.0 if percent else 1.0
    unit = f"{GAP}%" if percent else ""
    if low is None or high is None:
        return Shown(number(value * factor, 1 if percent else 2) + unit, "")
    places = digits((high - low) / 2 * factor)
    return Shown(
        number(value * factor, places) + unit, f"{number(low * factor, places)}–{number(high * factor, places)}"
    )


def difference(value: float | None, low: float | None, high: float | None, *, percent: bool) -> str:
    """A difference with its sign and half width: `+1.21 ± 0.09`; per cent differences are in points."""
    if value is None or low is None or high is None:
        return "—"
    factor = 100.0 if percent else 1.0
    half = (high - low) / 2 * factor
    places = digits(half)
    return f"{number(value * factor, places, sign=True)}{GAP}±{GAP}{number(half, places)}"


def number(value: float, places: int, *, sign: bool = False) -> str:
    """`value` with `places` digits after the point, a true minus, and never a negative zero."""
    text = f"{abs(value):,.{places}f}"
    if float(text.replace(",", "")) == 0:
        return text
    return f"{MINUS}{text}" if value < 0 else f"+{text}" if sign else text


def p_value(p: float) -> str:
    """A p-value with as many digits as anybody needs."""
    return "<.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
