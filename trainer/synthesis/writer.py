"""A served model that writes texts: a request is asked once, and once more only where its text cannot be used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from eval.chat.budget import Budget, BudgetReachedError
from eval.chat.client import Chat, Session
from eval.chat.journal import Response
from eval.chat.place import Place, host_of
from eval.identity import Message
from eval.judges.cost import purse_of, tariff_of
from mergescope.ground.ids import content_id
from mergescope.ground.seeds import derive_seed
from trainer.synthesis.config import WriterSection
from trainer.synthesis.usable import Fault, fault_of_failure, fault_of_response

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Failed:
    """Why something was not made."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Written(Generic[T]):
    """Something made of a response."""

    value: T
    model: str
    """The model asked, and in brackets the one that the server says it used, where that is another; empty: none was
    asked, since there was such a text."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one text is asked for by."""

    messages: Sequence[Message]
    sample: int = 0
    """Which of several texts for the same messages this is."""
    schema: Mapping[str, Any] | None = None
    """JSON schema that the server shall enforce; None: none."""


def request_key(section: WriterSection, seed: int, request: Request) -> str:
    """Content id of a request: all that decides what is written, and nothing else."""
    content = {
        "model": section.model,
        "host": host_of(str(section.base_url)),
        "messages": [dict(message) for message in request.messages],
        "sample": request.sample,
        "schema": None if request.schema is None else dict(request.schema),
        "temperature": section.temperature,
        "max_tokens": section.max_tokens,
        "seed": seed,
    }
    return content_id("w1", content)


class Writer:
    """One served model of a recipe. Its journal holds every response received, by the content of its request."""

    def __init__(
        self, section: WriterSection, who: str, journal: Path, *, seed: int, tries: int, budget: Budget | None = None
    ) -> None:
        """who: how errors call its server. journal: the file of received responses. tries: responses for one text.

        Raises MergescopeError where the key's environment variable is not set, or where the budget is in a currency
        that no price of the section is known in.
        """
        self.section = section
        self._seed = seed
        self._tries = tries
        place = Place(
            who=who,
            base_url=str(section.base_url),
            model=section.model,
            api_key_env=section.api_key_env,
            concurrency=section.concurrency,
            timeout_s=section.timeout_s,
        )
        self.tariff = tariff_of(section.price)
        purse = None if budget is None else purse_of(budget, self.tariff, section.model)
        self.chat = Chat(place, journal, purse)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Session]:
        """Its connections, within one event loop."""
        async with Session.open(self.chat) as session:
            yield session

    async def write(self, session: Session, request: Request, read: Callable[[str], T | Failed]) -> Written[T] | Failed:
        """The first response that `read` can use, of at most `tries`; else what was wrong with the last one.

        Raises MergescopeError for what no retry mends: a wrong key, an unknown model, a server that never answers.
        """
        key = request_key(self.section, self._seed, request)
        failed = Failed("empty")
        for nth in range(self._tries):
            try:
                response = await session.ask(key, partial(self._body, request, key, nth), nth)
            except BudgetReachedError:
                return Failed("budget")
            if not isinstance(response, Response):
                return Failed(fault_of_failure(response))
            outcome = _read(response, read)
            if not isinstance(outcome, Failed):
                return Written(outcome, self._name(response))
            failed = outcome
            if response.error_kind is not None:  # the request itself is filtered, whatever the seed
                break
        return failed

    def _name(self, response: Response) -> str:
        asked, used = self.section.model, response.model
        return asked if used in ("", asked) else f"{asked} ({used})"

    def _body(self, request: Request, key: str, nth: int) -> dict[str, Any]:
        body = {
            "model": self.section.model,
            "messages": [dict(message) for message in request.messages],
            "temperature": float(self.section.temperature),
            "max_tokens": self.section.max_tokens,
            "seed": derive_seed(self._seed, "make", key, nth),
        }
        if request.schema is None:
            return body
        schema = {"name": "draft", "strict": True, "schema": dict(request.schema)}
        return {**body, "response_format": {"type": "json_schema", "json_schema": schema}}


def _read(response: Response, read: Callable[[str], T | Failed]) -> T | Failed:
    fault = fault_of_response(response)
    return read((response.text or "").strip()) if fault is None else Failed(fault)
