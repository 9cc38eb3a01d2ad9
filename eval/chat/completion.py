"""A chat completion as it comes over the wire, read without trusting its shape."""

from __future__ import annotations

import json
from typing import Any

from eval.chat.journal import Response
from eval.identity import storable

BROKEN_OFF = ("abort", "error")
"""Finish reasons (vLLM's, gateways') of a server that failed in the middle: what there is of a text is no answer."""


def read_completion(key: str, raw: bytes) -> Response | None:
    """The first choice of a completion; None where the bytes are no completion, or one that broke off."""
    try:
        body = json.loads(raw)
        choice = body["choices"][0]
        if choice.get("finish_reason") in BROKEN_OFF:
            return None
        message = choice["message"]
        usage = body.get("usage") or {}
        return Response(
            key=key,
            text=_text(message.get("content")),
            finish_reason=_words(choice.get("finish_reason")),
            refusal=_words(message.get("refusal")),
            model=_words(body.get("model")) or "",
            version=_words(body.get("system_fingerprint")),
            tokens=_count(usage.get("total_tokens")),
            generated=_count(usage.get("completion_tokens")),
            prompted=_count(usage.get("prompt_tokens")),
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None


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
