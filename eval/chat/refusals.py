"""What a server's refusals mean: try again, this request alone, or a mistake that every request would meet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

Failure = Literal["timeout", "server", "too_long", "rejected"]
"""Why there is no response: the next run asks again, which costs nothing where nothing was given.

timeout, server: after all tries. too_long: prompt and answer do not fit into the model's context. rejected: it does
not take this request, and took others.
"""
SETTLED: frozenset[Failure] = frozenset({"too_long", "rejected"})
"""Failures that no other try in the same run mends."""
PASSING = frozenset({408, 409, 429})
"""Statuses below 500 that another try may mend; from 500 on all of them."""
OVERLOAD = frozenset({429, 503, 529})
"""Statuses that say that the server has too much to do."""
_FILTER = (
    "content_filter",  # Azure's code
    "content_policy",  # OpenAI's code for images, and gateways'
    "invalid_prompt",  # OpenAI's code where a reasoning model's prompt is flagged
    "responsibleaipolicyviolation",  # Azure's inner code
)
_TOO_LONG = (
    "context_length_exceeded",  # OpenAI's code
    "maximum context length",  # OpenAI's words, and vLLM's
    "maximum model length",  # vLLM's words
    "exceed_context_size",  # llama.cpp's type
)
_NO_SCHEMA = (
    "response_format",  # OpenAI's name of the field, and that of nearly all others
    "json_schema",
    "structured output",
    "guided",  # vLLM's older word for it
    "grammar",  # llama.cpp's and TGI's, where they cannot make one of the schema
)


def passing(status: int, code: object) -> bool:
    """Whether another try may help: an account without quota says 429 and stays without."""
    return (status in PASSING or status >= 500) and code != "insufficient_quota"


def withheld(status: int, code: object, body: object) -> Literal["filter", "too_long"] | None:
    """Why this request alone is refused; None where every other would be as well, or where that cannot be known."""
    words = f"{code} {body}".lower()
    if status in (400, 403, 422, 451) and any(word in words for word in _FILTER):
        return "filter"
    if status in (400, 413, 422) and any(word in words for word in _TOO_LONG):
        return "too_long"
    return None


def takes_no_schema(status: int, code: object, body: object) -> bool:
    """Whether a server says that it gives no JSON of a schema; what it repeats of the request does not count."""
    if status not in (400, 422):
        return False
    words = f"{code} {_complaint(body)}".lower()
    return any(word in words for word in _NO_SCHEMA)


def _complaint(body: object) -> str:
    """What a server complains of: OpenAI's message and field, or FastAPI's list of them."""
    if not isinstance(body, Mapping):
        return body if isinstance(body, str) else ""
    detail = body.get("detail")
    entries = [body, *(detail if isinstance(detail, list) else [])]
    told = [
        entry.get(name)
        for entry in entries
        if isinstance(entry, Mapping)
        for name in ("message", "msg", "param", "loc")
    ]
    return " ".join(map(str, [*told, detail if isinstance(detail, str) else ""]))


def wants_completion_tokens(body: object) -> bool:
    """Whether the server takes `max_completion_tokens` only (OpenAI's reasoning models)."""
    return "max_completion_tokens" in str(body)


def mistake(status: int, body: object, model: str, variable: str) -> tuple[str, str]:
    """What is wrong and its cure, for a refusal that every request would meet; never in the server's words."""
    if status in (401, 403):
        return "refuses the key", f"check the environment variable {variable}"
    if status == 404 and isinstance(body, Mapping) and "message" in body:
        return f"does not know {model!r}", "correct model or base_url"
    if status in (404, 405):
        return "has no such path", "correct base_url"
    if 300 <= status < 400:
        return "sends elsewhere, and texts go only to hosts that the recipe names", "write the final base_url"
    if status in (402, 429):
        return "says that the account has no quota left", f"top it up, or put another key into {variable}"
    return "refuses the request", "check that it offers what is asked: structured output, temperature, seed"


def retry_after(header: str | None, longest_s: float) -> float | None:
    """Seconds that a Retry-After header asks for, at most `longest_s`; None where it says nothing readable."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), longest_s) if seconds == seconds else None
