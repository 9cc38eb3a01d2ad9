"""Chat completions from one server: many in flight, bounded retries, every response on disk before it is used."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from eval.chat import refusals
from eval.chat.completion import read_completion
from eval.chat.gate import START, Gate
from eval.chat.journal import Journal, Response, SharedSync
from eval.chat.refusals import Failure
from eval.chat.stream import completed
from mergescope.ground.errors import MergescopeError

T = TypeVar("T")
R = TypeVar("R")
Body = dict[str, Any]

TRIES = 5
"""Requests for one response where the server is busy, fails or cannot be reached for a moment."""
FIRST_PAUSE_S = 0.5
"""Pause before the second try, doubled each time, with up to half of it more at random."""
LONGEST_PAUSE_S = 30.0
LONGEST_WAIT_S = 120.0
"""Longest pause that a server's Retry-After is granted."""
SPARE = 2
"""Items under work for each request in flight: some of them wait, for a pause to end or for the disk."""


class UnreachableError(MergescopeError):
    """A server that does not answer at all."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server and what it is asked for."""

    who: str
    """How errors call it: `the judge's server`."""
    base_url: str
    model: str
    api_key_env: str
    """Environment variable with the key."""
    concurrency: int
    """Most requests in flight."""
    timeout_s: float
    """Seconds for one request."""

    @property
    def host(self) -> str:
        """Host and, where it is given, port."""
        url = urlsplit(self.base_url)
        return f"{url.hostname}:{url.port}" if url.port else str(url.hostname)

    def key(self) -> str:
        """The key; raises MergescopeError where its environment variable is not set."""
        key = os.environ.get(self.api_key_env)
        if not key:
            where = f"environment variable {self.api_key_env}"
            raise MergescopeError(f"the key of {self.who} is not set", where=where, cure="export it")
        return key


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A try that failed and may go better."""

    kind: Failure
    fatal: MergescopeError | None = None
    """What to raise where the last try meets it too and the server was never better."""
    pause_s: float | None = None
    """What the server asks for; None: it does not say."""


class Chat:
    """What is known of one server for as long as the process lives."""

    def __init__(self, place: Place, journal: Path) -> None:
        """journal: the file of received responses. Raises MergescopeError where the key is not set."""
        self.place = place
        self.journal = Journal(journal)
        self.key = place.key()
        self.limit = START
        """Requests in flight at which the server was comfortable last."""
        self.heard = False
        """Whether it ever answered: before that a refused connection stops the run."""
        self.answered = False
        """Whether it ever gave a response: from then on a bad request is one request's fault."""
        self.lost = 0
        """Requests in a row that could not be sent in all their tries."""
        self.completion_tokens = False
        """Whether it takes `max_completion_tokens` instead of `max_tokens`."""

    def stream(self, items: Iterable[T], work: Callable[[Session, T], Awaitable[R]]) -> Iterator[tuple[T, R]]:
        """Each item with what `work` made of it, as soon as it is there: see `eval.chat.stream.completed`."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Callable[[T], Awaitable[R]]]:
            async with Session.open(self) as session:
                yield lambda item: work(session, item)

        return completed(items, opened, self.place.concurrency * SPARE)


class Session:
    """A Chat within one event loop, with its connections."""

    def __init__(self, chat: Chat, client: AsyncOpenAI) -> None:
        self._chat = chat
        self._client = client
        self._gate = Gate(chat.place.concurrency, chat.limit)
        self._disk = SharedSync(chat.journal)

    @classmethod
    @asynccontextmanager
    async def open(cls, chat: Chat) -> AsyncIterator[Session]:
        """Connections for as long as the block runs; no redirects, for texts go only where the recipe says."""
        most = chat.place.concurrency
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=5.0)
        async with AsyncOpenAI(
            api_key=chat.key,
            base_url=chat.place.base_url,
            timeout=chat.place.timeout_s,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(limits=limits, follow_redirects=False),
        ) as client:
            session = cls(chat, client)
            try:
                yield session
            finally:
                chat.limit = session._gate.limit
                chat.journal.close()

    async def ask(self, key: str, body: Callable[[], Body], nth: int = 0) -> Response | Failure:
        """The `nth` response to a request, from the journal where it is there, else from the server.

        Raises MergescopeError for what no retry mends: a wrong key, an unknown model, a server that never answers.
        """
        received = self._chat.journal.responses(key)
        if nth < len(received):
            return received[nth]
        response = await self.fresh(key, body())
        if isinstance(response, Response):
            await self._disk.append(response)
        return response

    async def fresh(self, key: str, body: Body) -> Response | Failure:
        """A response that is not journalled; errors as in `ask`."""
        for attempt in range(TRIES):
            outcome = await self._try(key, body, attempt)
            if isinstance(outcome, Response):
                return outcome
            trouble = outcome
            if attempt < TRIES - 1:
                await asyncio.sleep(_pause(attempt) if trouble.pause_s is None else trouble.pause_s)
        if trouble.fatal is not None:
            raise trouble.fatal
        return trouble.kind

    async def _try(self, key: str, body: Body, attempt: int) -> Response | _Trouble:
        number = await self._gate.enter()
        try:
            async with asyncio.timeout(self._chat.place.timeout_s):  # httpx's own are for each read
                reply = await self._post(body)
        except (TimeoutError, openai.APITimeoutError):
            self._gate.overloaded(number, _pause(attempt))
            return _Trouble("timeout")
        except openai.APIConnectionError as error:
            return _Trouble("server", self._unreachable(error, last=attempt == TRIES - 1))
        except openai.APIStatusError as error:
            return self._refused(key, error, number, attempt)
        finally:
            self._gate.leave()
        response = read_completion(key, reply.content)
        if response is None:  # not a completion at all: a proxy's page, or cut off
            return _Trouble("server")
        self._gate.answered()
        self._chat.heard = self._chat.answered = True
        self._chat.lost = 0
        return response

    async def _post(self, body: Body) -> httpx2.Response:
        # plain bytes: the package's own models of requests and responses cost more CPU than all else here
        try:
            return await self._client.post("/chat/completions", body=self._named(body), cast_to=httpx2.Response)
        except openai.BadRequestError as error:
            renamed = self._chat.completion_tokens or not refusals.wants_completion_tokens(400, error.body)
            if "max_tokens" not in body or renamed:
                raise
        self._chat.completion_tokens = True
        return await self._client.post("/chat/completions", body=self._named(body), cast_to=httpx2.Response)

    def _named(self, body: Body) -> Body:
        if "max_tokens" not in body or not self._chat.completion_tokens:
            return body
        return {("max_completion_tokens" if name == "max_tokens" else name): value for name, value in body.items()}

    def _refused(self, key: str, error: openai.APIStatusError, number: int, attempt: int) -> Response | _Trouble:
        """What a refusal makes of this request; raises MergescopeError where every request would fail alike."""
        status, place = error.status_code, self._chat.place
        self._chat.heard, self._chat.lost = True, 0
        if refusals.passing(status, error.code):
            asked = refusals.retry_after(error.response.headers.get("retry-after"), LONGEST_WAIT_S)
            if status in refusals.OVERLOAD:
                self._gate.overloaded(number, _pause(attempt) if asked is None else asked)
            return _Trouble("server", pause_s=asked)
        kind = refusals.withheld(status, error.code, error.body)
        if kind is not None:
            return Response(key, error_kind=kind)
        what, cure = refusals.mistake(status, error.body, place.model, place.api_key_env)
        fatal = MergescopeError(f"{place.who} {what}: HTTP {status}", where=place.host, cure=cure)
        if status not in (400, 413, 422):
            raise fatal from None
        if self._chat.answered:  # this request alone is not to its liking
            return Response(key, error_kind="refused")
        return _Trouble("server", fatal)  # others may be answered meanwhile

    def _unreachable(self, error: openai.APIConnectionError, *, last: bool) -> MergescopeError | None:
        place = self._chat.place
        self._chat.lost += last
        if self._chat.heard and self._chat.lost <= place.concurrency * SPARE:
            return None
        what = f"{place.who} cannot be reached: {type(error).__name__}"
        return UnreachableError(what, where=place.host, cure="start it, or correct base_url")


def _pause(attempt: int) -> float:
    pause = min(FIRST_PAUSE_S * 2.0**attempt, LONGEST_PAUSE_S)
    return pause * (1 + random.random() / 2)
