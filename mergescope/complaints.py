"""Turns what pydantic says about a recipe into one line: place, what, value, cure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, TypeAlias

from pydantic import ValidationError

from mergescope.ground.errors import RecipeError

_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_SHAPES = {
    "model_type": "a mapping of keys",
    "tuple_type": "a list",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "path_type": "a path",
    "url_type": "an address that starts with http:// or https://",
    "url_parsing": "an address that starts with http:// or https://",
    "url_scheme": "an address that starts with http:// or https://",
}

Place: TypeAlias = tuple[str | int, ...]
"""Keys and list indices from the recipe's root inwards."""


def complaint(file: object, raw: dict[str, Any], error: ValidationError, known: Iterable[str]) -> RecipeError:
    """The first thing wrong with the recipe `raw`; `known` are all keys a recipe may hold, for the cure of typos."""
    errors = _misspelt(error.errors(), raw)
    place = _place(errors[0], raw)
    # A union complains once per form it could have had: the form that fits best is the one with the deepest place.
    related = [(p, e) for e in errors if (p := _place(e, raw))[: len(place)] == place]
    place = max((p for p, _ in related), key=len)
    same = [e for p, e in related if p == place]
    place, what, value, cure = _explained(place, same, known)
    where = f"{file}: {written(place)}" if place else str(file)
    return RecipeError(what, where=where, value=value, cure=cure)


def _misspelt(errors: list[Any], raw: Any) -> list[Any]:
    """The errors; where the first key is missing and an unknown one beside it is close, that one alone: it is meant."""
    if errors[0]["type"] == "missing" and (missing := _place(errors[0], raw)):
        for error in errors:
            *section, key = _place(error, raw) or [""]
            beside = error["type"] == "extra_forbidden" and section == list(missing[:-1])
            if beside and difflib.get_close_matches(str(key), [str(missing[-1])]):
                return [error]
    return errors


def written(place: Place) -> str:
    """A place in the recipe as users write it: `eval.judges[0].kind`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _place(error: Any, raw: Any) -> Place:
    """The parts of pydantic's location that stand in the recipe: it puts the names of union members between."""
    place: list[str | int] = []
    node, last = raw, len(error["loc"]) - 1
    for depth, part in enumerate(error["loc"]):
        if isinstance(node, dict) and depth < last and _is_tag(part, error["loc"][depth + 1], node, error["type"]):
            continue
        if (isinstance(node, dict) and part in node) or (isinstance(node, list) and isinstance(part, int)):
            place.append(part)
            node = node[part]
        elif depth == last and error["type"] == "missing":
            place.append(part)
    return tuple(place)


def _is_tag(part: str | int, following: str | int, section: dict[Any, Any], kind: str) -> bool:
    """Whether `part` is a union's member though the section has a key of this name: `kind: model` has a `model`."""
    holds_more = isinstance(section.get(part), dict | list)
    return part in section and not holds_more and (following in section or kind == "missing")


def _explained(place: Place, errors: list[Any], known: Iterable[str]) -> tuple[Place, str, object, str | None]:
    """Place, what is wrong, the value as written (None: nothing to show) and the cure."""
    first = errors[0]
    kind, value, context = first["type"], first["input"], first.get("ctx", {})
    shown = None if isinstance(value, dict) else value
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(str(place[-1]), list(known), n=1)
        return place, "unknown key", None, f"did you mean `{close[0]}`?" if close else "remove it"
    if kind == "missing":
        return place, "is missing", None, "add it"
    if kind == "value_error":
        return _of_validator(place, str(context["error"]), value)
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return place, "out of range", shown, f"it must be {words} {context[key]}"
    if kind == "string_pattern_mismatch":
        return place, "not in the right form", shown, f"it must match {context['pattern']}"
    if kind == "too_short":
        return place, "is empty", shown, f"give at least {context['min_length']}"
    if kind == "union_tag_invalid":
        return (*place, "kind"), "no such kind", context["tag"], f"use one of {context['expected_tags']}"
    if kind == "union_tag_not_found":
        return (*place, "kind"), "is missing", None, "add it"
    wanted = [_wanted(error) for error in errors]
    if all(wanted):
        return place, "not understood", value, f"write {' or '.join(dict.fromkeys(wanted))}"
    return place, first["msg"], shown, None


def _wanted(error: Any) -> str:
    """What the key takes, in words; empty where there are none for this kind of error."""
    return str(error["ctx"]["expected"]) if error["type"] == "literal_error" else _SHAPES.get(error["type"], "")


def _of_validator(place: Place, message: str, value: object) -> tuple[Place, str, object, str | None]:
    """A message of our own validators; one about a whole section starts with the name of the key that it means."""
    name, _, rest = message.partition(" ")
    if isinstance(value, dict):
        value = value.get(name)
        if value is not None:
            place = (*place, name)
            message = rest if rest.startswith("must ") else message
    if message.startswith("must "):
        return place, "not allowed", value, f"it {message}"
    what, _, cure = message.partition("; ")
    return place, what, value, cure or None
