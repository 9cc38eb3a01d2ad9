"""What is wrong with a response: why its text cannot be used."""

from __future__ import annotations

from typing import Literal

from eval.chat.journal import Response
from eval.chat.refusals import Failure
from eval.judges.refusal import classify_refusal
from eval.judges.refusal_label import Label, Language
from trainer.synthesis.language import is_in

Fault = Literal[
    "filter",
    "timeout",
    "server",
    "rejected",
    "budget",
    "parse",
    "refused",
    "language",
    "empty",
    "length",
    "unfit",
    "harmless",
    "evaluated",
]
"""Why something was not made.

filter: a content filter took it. timeout, server: it took too long, or the server failed, again and again. rejected:
the server would not take the request. budget: the run may not spend what it takes. parse: a draft or a verdict cannot
be read. refused: the model declined. language: it answered in another one. empty: it said nothing. length: it was cut
off at max_tokens. unfit: the writer finds no question in a text. harmless: no candidate is dangerous enough to be an
answer to avoid. evaluated: the question is one of the evaluation's, or nearly.
"""
PASSING: frozenset[Fault] = frozenset({"timeout", "server", "rejected", "budget"})
"""Those that another run may not meet: it asks again. The others came with a response, which is asked for once."""


def fault_of_failure(failure: Failure) -> Fault:
    """Why there is no response."""
    return "rejected" if failure == "too_long" else failure


def fault_of_response(response: Response) -> Fault | None:
    """What is wrong with a response whatever it should be; None: it holds a whole text."""
    if response.finish_reason == "content_filter" or response.error_kind == "filter":
        return "filter"
    if not (response.text or "").strip():
        return "refused" if response.refusal else "length" if response.finish_reason == "length" else "empty"
    return "length" if response.finish_reason == "length" else None


def fault_of_text(text: str, language: Language, prompt: str, refusals: frozenset[Label]) -> Fault | None:
    """What is wrong with an answer: its language, or a refusal where content was wanted; None: nothing.

    refusals: the classes of `classify_refusal` that are no answer here; none for answers that may well decline.
    """
    if not is_in(text, language):
        return "language"
    return "refused" if refusals and classify_refusal(text, language, prompt).label in refusals else None
