"""A chat completion as it comes over the wire, read without trusting its shape."""

from __future__ import annotations

import json
from typing import Any

from eval.chat.journal import Response
from eval.identity import storable

BROKEN_OFF = ("abort", "error")
"""Finish reasons (vLLM's, gateways') of a server that failed in the middle: what there is of a text is no answer."""
_MALFORMED = (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError)


def read_completion(key: str, raw: bytes) -> Response | None:
    """The first choice of a completion; None where the bytes are no completion, or one that broke off."""
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        if choice.get("finish_reason") in BROKEN_OFF:
            return None
        message = choice["message"]
        return Response(
            key=key,
            text=_text(message.get("content")),
            finish_reason=_words(choice.get("finish_reason")),
            refusal=_words(message.get("refusal")),
            model=_words(body.get("model")) or "",
            version=_words(body.get("system_fingerprint")),
            **_used(body),
        )
    except _MALFORMED:
        return None


def read_broken_off(key: str, raw: bytes) -> Response | None:
    """What a completion took that broke off, without its text; None where the bytes are no such completion."""
    try:
        body = json.loads(raw)
        return Response(key, **_used(body)) if body["choices"][0].get("finish_reason") in BROKEN_OFF else None
    except _MALFORMED:
        return None


def _used(body: Any) -> dict[str, Any]:
    usage = body.get("usage") or {}
    return {
        "tokens": _count(usage.get("total_tokens")),
        "generated": _count(usage.get("completion_tokens")),
        "prompted": _count(usage.get("prompt_tokens")),
    }


def _text(content: Any) -> str | None:
    """What is said, whole or in parts; None where there is none, only thoughts for example."""
    if not isinstance(content, list):
        return _words(content)
    parts = [part["text"] for part in content if part.get("type") == "text"]
    return _words("".join(parts)) if parts else None


def _words(value: Any) -> str | None:
    return storable(value) if isinstance(value, str) else None


def _count(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 2**31 else None  # what the store's INTEGER holds
