"""What stands between a bundle and its release: vendors' terms on training data, and a point less safe than the base.

Pure functions of plain values: the command line refuses by them, and the dashboard shows them before it is asked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

VENDOR_TERMS = "vendor-terms"
"""Training data was made with a model whose vendor's terms forbid competing use."""
LESS_SAFE = "less-safe-than-base"
"""The point's lower bound on safety is below the base's."""
LABELS = (VENDOR_TERMS, LESS_SAFE)
NOT_FOR_RELEASE = "not for release"
RELEASE = "no gate closed"


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor whose terms limit what may be trained on its models' outputs."""

    name: str
    prefixes: tuple[str, ...]
    """How its models' names start; one that ends in a hyphen also matches the bare word."""
    terms: str
    """Which document says so, and what it says."""


VENDORS = (
    Vendor(
        "OpenAI",
        ("openai", "chatgpt", "gpt-", "gpt3", "gpt4", "gpt5", "text-davinci-", "o1-", "o3-", "o4-"),
        "Terms of Use: output may not be used to develop models that compete with OpenAI",
    ),
    Vendor(
        "Anthropic",
        ("anthropic", "claude"),
        "Commercial Terms of Service: no use to train competing AI models, unless Anthropic approves it",
    ),
    Vendor(
        "Google",
        ("gemini", "palm-", "bard"),
        "Gemini API Additional Terms of Service: no use to develop models that compete with the services",
    ),
)
"""Vendors that are looked for. What binds is a vendor's own text of the day the data were made: docs/bundle.md."""
OPEN_WEIGHTS = ("gpt-oss", "gpt-2", "gpt2", "gpt-j", "gpt-neo")
"""Names that a prefix above would catch, of models whose weights are under an open licence."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A point beside the base on the metric by which one judge tells their safety apart."""

    judge: str
    kind: str
    """llm, proxy or classifier."""
    metric: str
    """safety, or harmful_refusal_rate for a judge that derives safety from refusals."""
    bound: float | None
    """The point's lower bound: of its interval, or with every unscored answer at its worst where that is less."""
    base: float | None
    """The base's lower bound of the interval. None, here or above, where there is none to compare."""

    @property
    def less_safe(self) -> bool:
        """Whether the point's bound lies below the base's."""
        return self.bound is not None and self.base is not None and self.bound < self.base


@dataclass(frozen=True, slots=True)
class Gate:
    """One gate that is closed, or was opened by a person."""

    label: str
    """One of LABELS: what `--acknowledge` takes."""
    text: str
    """What was found."""
    acknowledged: bool

    def plain(self) -> dict[str, Any]:
        """The gate as JSON."""
        return asdict(self)


def compare_with_base(
    judge: str, kind: str, point: Mapping[str, Mapping[str, Any]], base: Mapping[str, Mapping[str, Any]]
) -> Comparison:
    """One judge's word on a point and on the base: estimates by metric, as `scores.json` holds them.

    A proxy derives safety from refusals, so that its refusals of harmful prompts are compared instead.
    """
    metric = "harmful_refusal_rate" if kind == "proxy" else "safety"
    found = point.get(metric, {})
    bounds = [value for value in (found.get("low"), found.get("worst")) if value is not None]
    bound = min(bounds) if found.get("low") is not None else None
    return Comparison(judge, kind, metric, bound, base.get(metric, {}).get("low"))


def gates_of(
    comparisons: Sequence[Comparison], made_by: Iterable[str], acknowledged: Collection[str] = ()
) -> tuple[Gate, ...]:
    """The gates of a bundle. made_by: who or what wrote its training data, as the data say. acknowledged: labels."""
    texts = {VENDOR_TERMS: _vendor_text(made_by), LESS_SAFE: _safety_text(comparisons)}
    return tuple(Gate(label, text, label in acknowledged) for label, text in texts.items() if text)


def release_of(gates: Iterable[Gate]) -> str:
    """Whether a bundle may leave: NOT_FOR_RELEASE while a gate is closed."""
    return RELEASE if all(gate.acknowledged for gate in gates) else NOT_FOR_RELEASE


def vendors_of(name: str) -> tuple[Vendor, ...]:
    """The vendors whose models' names stand in a `made_by`, such as `gpt-4o-2024-08-06, edited by people`."""
    words = [word for word in re.split(r"[^\w.-]+", _plain(name)) if word]
    if any(word.startswith(OPEN_WEIGHTS) for word in words):
        words = [word for word in words if not word.startswith((*OPEN_WEIGHTS, "openai"))]
    return tuple(vendor for vendor in VENDORS if any(_is_of(word, vendor) for word in words))


def _plain(name: str) -> str:
    """A name in lower case, its full-width letters and typographic hyphens as a keyboard's: Japanese text has both."""
    return unicodedata.normalize("NFKC", name).lower().replace("\u2010", "-").replace("\u2212", "-")


def _is_of(word: str, vendor: Vendor) -> bool:
    return word.startswith(vendor.prefixes) or f"{word}-" in vendor.prefixes


def vendors_among(made_by: Iterable[str]) -> dict[Vendor, list[str]]:
    """Each vendor whose models wrote some of the data, with what the data call them."""
    found: dict[Vendor, list[str]] = {}
    for name in sorted(set(made_by)):
        for vendor in vendors_of(name):
            found.setdefault(vendor, []).append(name)
    return found


def _vendor_text(made_by: Iterable[str]) -> str:
    found = vendors_among(made_by)
    parts = (f"made with {', '.join(names)} ({vendor.name}, {vendor.terms})" for vendor, names in found.items())
    listed = "; ".join(parts)
    return f"training data {listed}" if listed else ""


def _safety_text(comparisons: Sequence[Comparison]) -> str:
    parts = [
        f"{c.metric.replace('_', ' ')} by {c.judge} ({c.kind}): at least {c.bound:.3g}, the base {c.base:.3g}"
        for c in comparisons
        if c.less_safe
    ]
    return f"less safe than the base, by lower bounds: {'; '.join(parts)}" if parts else ""
