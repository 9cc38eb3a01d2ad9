"""Keys have no place in a recipe: it is shared, stored with the results and printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from mergescope.ground.errors import RecipeError

KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic and those that copy their form
    r"|\bhf_[A-Za-z0-9]{16,}"
    r"|\bgh[opsu]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}"
    r"|\bAKIA[0-9A-Z]{12,}|\bAIza[\w-]{20,}|\bxox[abp]-[\w-]{10,}"
    r"|\bBearer\s+\S{8,}|\beyJ[\w-]{10,}\.[\w-]+\.[\w-]+"
)
"""Forms in which the common services write their keys."""

SECRET_NAME = re.compile(r"(?i)(?:^|[_-])(?:api[_-]?key|key|token|password|passwd|secret|authorization|sig|signature)$")
"""Names whose value is a secret wherever it stands."""


def refuse_credentials(raw: object, file: Path) -> None:
    """Raise RecipeError where a recipe holds a key or a URL with credentials; the value is never repeated."""
    for place, name, text in _strings(raw):
        if KEY_LIKE.search(text) or SECRET_NAME.search(name):
            cure = "put it in an environment variable and name that in `api_key_env`"
            raise RecipeError("looks like a key (not shown)", where=f"{file}: {place}", cure=cure)
        if "://" in text and _url_has_credentials(text):
            cure = "take them out of the address and name a variable in `api_key_env`"
            raise RecipeError("credentials in an address (not shown)", where=f"{file}: {place}", cure=cure)


def _url_has_credentials(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:  # not an address at all: the field's own check says so
        return False
    return "@" in url.netloc or any(SECRET_NAME.search(name) for name, _ in parse_qsl(url.query))


def _strings(raw: object, place: str = "", name: str = "") -> Iterator[tuple[str, str, str]]:
    """(recipe path, key, text) of each string, keys of mappings included."""
    match raw:
        case str():
            yield place or "recipe", name, raw
        case dict():
            for key, value in raw.items():
                yield place or "recipe", "", str(key)
                yield from _strings(value, f"{place}.{key}" if place else str(key), str(key))
        case list():
            for index, value in enumerate(raw):
                yield from _strings(value, f"{place}[{index}]", name)
