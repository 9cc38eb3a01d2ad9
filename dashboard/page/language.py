"""The interface's words: one catalogue per language, chosen by address, then by browser."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "English", "ja": "日本語"}
"""Languages that have a catalogue, each under its own name."""
_FOLDER = Path(__file__).parents[1] / "text"


@cache
def catalogue(language: str) -> dict[str, str]:
    """Every string of one language by its dotted key, such as `frontier.title`."""
    with (_FOLDER / f"{language}.toml").open("rb") as stream:
        return dict(_flat(tomllib.load(stream), ""))


def preferred(locale: str | None) -> str:
    """The catalogue that fits a browser's locale (`ja-JP`); English where none does or it is unknown."""
    language = (locale or "en").replace("_", "-").split("-")[0].lower()
    return language if language in LANGUAGES else "en"


class Words:
    """Looks strings up in one language."""

    __slots__ = ("_strings", "language")

    def __init__(self, language: str) -> None:
        self.language = language
        self._strings = catalogue(language)

    def __call__(self, key: str, **values: object) -> str:
        """The string under `key` with `{name}` filled in; a missing key is a bug and raises KeyError."""
        text = self._strings[key]
        return text.format(**values) if values else text

    def maybe(self, key: str, otherwise: str) -> str:
        """The string under `key`, or `otherwise` for names that come from data (metrics, error kinds)."""
        return self._strings.get(key, otherwise)


def _flat(table: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in table.items():
        name = f"{prefix}.{key}" if prefix else key
        pairs.extend(_flat(value, name) if isinstance(value, dict) else [(name, str(value))])
    return pairs
