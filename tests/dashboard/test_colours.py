import pytest

from dashboard.charts.colours import DARK, LIGHT, Palette, palette, ratio_colour


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_the_scale_goes_through_its_anchors(colours: Palette) -> None:
    assert [ratio_colour(ratio, colours) for ratio in (0, 0.5, 1)] == list(colours.scale)


def test_the_scale_moves_from_red_to_blue_all_the_way() -> None:
    steps = [ratio_colour(i / 20, LIGHT) for i in range(21)]
    warmth = [int(step[1:3], 16) - int(step[5:7], 16) for step in steps]
    assert warmth == sorted(warmth, reverse=True)
    assert len(set(steps)) == 21


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_small_text_has_contrast(colours: Palette) -> None:
    assert _contrast(colours.muted, colours.background) >= 4.5  # WCAG AA
    assert _contrast(colours.ink, colours.background) >= 7


def test_every_theme_has_a_palette() -> None:
    assert palette("dark") is DARK
    assert palette("light") is palette(None) is LIGHT


def _contrast(first: str, second: str) -> float:
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
