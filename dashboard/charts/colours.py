"""Colours: one perceptual scale for the ratio, one tone for each verdict. Safe for colour-blind readers.

The ratio runs from orange (model-useful) over grey to blue (model-safe): the orange-blue axis is the one that
deuteranopes and protanopes keep. Verdicts differ in lightness too, and every page also writes them out.
"""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.store.board import Verdict


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of charts in one theme, as CSS hex."""

    background: str
    ink: str
    muted: str
    grid: str
    accent: str
    band: str
    """Fill of an interval band, with alpha."""
    scale: tuple[str, str, str]
    """Anchors of the ratio scale at 0, 0.5 and 1."""
    levels: tuple[str, str]
    """Ends of the scale of any other number, low and high; a hue that the ratio does not have."""


LIGHT = Palette(
    "#ffffff",
    "#1c2129",
    "#666e7a",
    "#eaecef",
    "#2c69ad",
    "rgba(44,105,173,0.13)",
    ("#c97300", "#8f8c94", "#12509b"),
    ("#9a8fa8", "#4a1486"),
)
DARK = Palette(
    "#14171c",
    "#e4e7eb",
    "#9aa3af",
    "#272d35",
    "#74aef0",
    "rgba(116,174,240,0.18)",
    ("#ee9a2e", "#a5a3ab", "#68adf8"),
    ("#6d6479", "#dcc2ff"),
)

VERDICT_FILL: dict[Verdict, str] = {
    "answered": "#2f9e8a",
    "partial": "#e2b040",
    "refused": "#7b5aa6",
    "unsafe": "#c8501e",
    "wrong": "#8a6d3b",
    "unscored": "#9aa0a8",
}
"""Fills of the ratio strip and of the failure matrix, the same in both themes."""


def palette(theme: str | None) -> Palette:
    """The palette of Streamlit's theme type, `dark` or anything else."""
    return DARK if theme == "dark" else LIGHT


def ratio_colour(ratio: float, colours: Palette) -> str:
    """The scale's colour at `ratio` (0-1), mixed in OKLab, where equal steps look equal."""
    useful, middle, safe = colours.scale
    if ratio <= 0.5:
        return _mixed(useful, middle, max(0.0, ratio) * 2)
    return _mixed(middle, safe, min(1.0, ratio) * 2 - 1)


def level_colour(share: float, colours: Palette) -> str:
    """The colour of a number that stands at `share` (0-1) of the numbers shown, mixed in OKLab."""
    return _mixed(*colours.levels, min(1.0, max(0.0, share)))


def _mixed(first: str, second: str, share: float) -> str:
    a, b = _oklab(first), _oklab(second)
    return _hex(tuple(x + (y - x) * share for x, y in zip(a, b, strict=True)))


def _oklab(colour: str) -> tuple[float, ...]:
    """Björn Ottosson's OKLab, https://bottosson.github.io/posts/oklab/."""
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _hex(lab: tuple[float, ...]) -> str:
    light, a, b = lab
    long = (light + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (light - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (light - 0.0894841775 * a - 1.2914855480 * b) ** 3
    channels = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    return "#" + "".join(f"{round(255 * _gamma(channel)):02x}" for channel in channels)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _gamma(value: float) -> float:
    bounded = min(1.0, max(0.0, value))
    return 12.92 * bounded if bounded <= 0.0031308 else 1.055 * bounded ** (1 / 2.4) - 0.055
