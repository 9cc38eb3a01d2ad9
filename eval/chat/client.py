"""Chat completions from one server: many in flight, bounded retries, every response on disk before it is used."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx2
import openai
from openai import DEFAULT_CONNECTION_LIMITS, AsyncOpenAI, DefaultAsyncHttpxClient

from eval.chat import refusals
from eval.chat.bounded import REPLY, UNCOMPRESSED, Bound, UnboundedReplyError
from eval.chat.budget import Purse, Used
from eval.chat.completion import read_broken_off, read_completion
from eval.chat.gate import START, Gate
from eval.chat.journal import Journal, Response, SharedSync
from eval.chat.place import Place
from eval.chat.refusals import Failure
from eval.chat.stream import completed
from mergescope.ground.errors import MergescopeError

T = TypeVar("T")
R = TypeVar("R")
Body = dict[str, Any]

TRIES = 5
"""Requests for one response where the server is busy, fails or cannot be reached for a moment."""
BUSY_TRIES = 10
"""The same where it last said 429: limits are often by the minute."""
FIRST_PAUSE_S = 0.5
"""Pause before the second try, doubled each time, with up to half of it more at random."""
LONGEST_PAUSE_S = 30.0
LONGEST_WAIT_S = 120.0
"""Longest pause that a server's Retry-After is granted."""
SPARE = 2
"""Items under work for each request in flight: some of them wait, for a pause to end or for the disk."""


class UnreachableError(MergescopeError):
    """A server that does not answer at all."""


class UnstructuredError(MergescopeError):
    """A server that will not give JSON of a schema."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A try that failed and may go better."""

    kind: Failure
    fatal: MergescopeError | None = None
    """What to raise where the last try meets it too and the server was never better."""
    pause_s: float | None = None
    """What the server asks for; None: it does not say."""
    busy: bool = False
    """Whether it said 429."""
    broken_off: Response | None = None
    """What there is of a completion: it is no answer, but is paid for."""

    @property
    def tries(self) -> int:
        """Requests that it is worth."""
        if self.kind in refusals.SETTLED:
            return 1
        return BUSY_TRIES if self.busy else TRIES

    def failure(self) -> Failure:
        """Its kind, after the last try."""
        if self.fatal is not None:
            raise self.fatal
        return self.kind


class Asker(Protocol):
    """What gives responses to requests: a Session, or one that gathers them into batches."""

    async def ask(self, key: str, body: Callable[[], Body], nth: int = 0) -> Response | Failure:
        """The `nth` response to a request, from the journal where it is there, else from the server."""


class Chat:
    """What is known of one server for as long as the process lives."""

    def __init__(self, place: Place, journal: Path, purse: Purse | None = None) -> None:
        """journal: the file of received responses. purse: what pays for others; None: no limit.

        Raises MergescopeError where the key is not set.
        """
        self.place = place
        self.purse = purse
        self.journal = Journal(journal)
        self.key = place.key()
        self.used = Used()
        """Of the server, in this process."""
        self.limit = START
        """Requests in flight at which the server was comfortable last."""
        self.heard = False
        """Whether it ever answered: before that a refused connection, or silence, stops the run."""
        self.answered = False
        """Whether it gave a response in this process."""
        self.lost = 0
        """Requests in a row that could not be sent in all their tries."""
        self.silent = 0
        """Tries in a row that met silence."""
        self.rejected = 0
        """Requests that it would not take since it last gave a response."""
        self.completion_tokens = False
        """Whether it takes `max_completion_tokens` instead of `max_tokens`."""

    def named(self, body: Body) -> Body:
        """A request with the name that the server has for the longest completion, as far as that is known."""
        if "max_tokens" not in body or not self.completion_tokens:
            return body
        return {("max_completion_tokens" if name == "max_tokens" else name): value for name, value in body.items()}

    def stream(self, items: Iterable[T], work: Callable[[Session, T], Awaitable[R]]) -> Iterator[tuple[T, R]]:
        """Each item with what `work` made of it, as soon as it is there: see `eval.chat.stream.completed`."""

        @asynccontextmanager
        async def opened() -> AsyncIterator[Callable[[T], Awaitable[R]]]:
            async with Session.open(self) as session:
                yield lambda item: work(session, item)

        return completed(items, opened, self.place.concurrency * SPARE)


@asynccontextmanager
async def connected(
    place: Place, key: str, *, retries: int, limits: httpx2.Limits = DEFAULT_CONNECTION_LIMITS, most: int = REPLY
) -> AsyncIterator[AsyncOpenAI]:
    """The package's client for as long as the block runs; no redirects, for texts go only where the recipe says.

    Nor does the environment's proxy see what is meant for this machine. retries: the package's own. most: bytes of one
    reply.
    """
    opened = DefaultAsyncHttpxClient(
        limits=limits,
        follow_redirects=False,
        trust_env=place.leaves_machine,
        headers=UNCOMPRESSED,
        event_hooks={"response": [Bound(most)]},
    )
    async with AsyncOpenAI(
        api_key=key,
        base_url=place.base_url,
        timeout=place.timeout_s,
        max_retries=retries,
        http_client=opened,
    ) as client:
        client.organization = client.project = None  # of OpenAI's own accounts, read from the environment
        yield client


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
        """Connections for as long as the block runs."""
        most = chat.place.concurrency
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=5.0)
        async with connected(chat.place, chat.key, retries=0, limits=limits) as client:
            session = cls(chat, client)
            try:
                yield session
            finally:
                chat.limit = session._gate.limit
                await session._disk.finished()
                chat.journal.close()

    async def ask(self, key: str, body: Callable[[], Body], nth: int = 0) -> Response | Failure:
        """The `nth` response to a request, from the journal where it is there, else from the server.

        Raises MergescopeError for what no retry mends: a wrong key, an unknown model, a server that never answers;
        UnstructuredError where it was asked for JSON of a schema and gives none; BudgetReachedError for a request that
        the purse cannot pay.
        """
        received = self._chat.journal.responses(key)
        if nth < len(received):
            return received[nth]
        sent = body()
        response = await self.fresh(key, sent)
        if isinstance(response, Response):
            response = replace(response, structured="response_format" in sent)
            await self._disk.append(response)
        return response

    async def fresh(self, key: str, body: Body) -> Response | Failure:
        """A response that is not journalled; errors as in `ask`."""
        attempt = 0
        while isinstance(outcome := await self._paid(key, body, attempt), _Trouble):
            attempt += 1
            if attempt >= outcome.tries:
                return outcome.failure()
            await asyncio.sleep(max(outcome.pause_s or 0.0, _pause(attempt - 1)))
        return outcome

    async def _paid(self, key: str, body: Body, attempt: int) -> Response | _Trouble:
        """One try, from the purse where there is one."""
        purse = self._chat.purse
        held, outcome = None if purse is None else await purse.hold(body), None
        try:
            outcome = await self._try(key, body, attempt)
        finally:
            received = outcome.broken_off if isinstance(outcome, _Trouble) else outcome
            self._chat.used.add(received)
            if purse is not None and held is not None:
                purse.settle(held, received)
        return outcome

    async def _try(self, key: str, body: Body, attempt: int) -> Response | _Trouble:
        number = await self._gate.enter()
        try:
            async with asyncio.timeout(self._chat.place.timeout_s):  # httpx's own are for each read
                reply = await self._post(body)
        except (TimeoutError, openai.APITimeoutError):
            self._gate.overloaded(number, _pause(attempt))
            return _Trouble("timeout", self._silent())
        except openai.APIConnectionError as error:
            return _Trouble("server", self._unreachable(error, last=attempt + 1 >= TRIES))
        except openai.APIStatusError as error:
            return self._refused(key, error, number, attempt, structured="response_format" in body)
        finally:
            self._gate.leave()
        response = read_completion(key, reply.content)
        if response is None:  # not a completion at all: a proxy's page, or cut off
            return _Trouble("server", broken_off=read_broken_off(key, reply.content))
        self._gate.answered()
        self._chat.heard = self._chat.answered = True
        self._chat.lost = self._chat.silent = self._chat.rejected = 0
        return response

    async def _post(self, body: Body) -> httpx2.Response:
        sent = self._chat.named(body)
        try:
            return await self._posted(sent)
        except openai.BadRequestError as error:
            if "max_tokens" not in sent or not refusals.wants_completion_tokens(error.body):
                raise
        self._chat.completion_tokens = True
        return await self._posted(self._chat.named(body))

    async def _posted(self, body: Body) -> httpx2.Response:
        # plain bytes: the package's own models of requests and responses cost as much CPU as all else here
        return await self._client.post("/chat/completions", body=body, cast_to=httpx2.Response)

    def _refused(
        self, key: str, error: openai.APIStatusError, number: int, attempt: int, *, structured: bool
    ) -> Response | _Trouble:
        """What a refusal makes of this request; raises MergescopeError where every request would fail alike."""
        status, place = error.status_code, self._chat.place
        self._chat.heard, self._chat.lost, self._chat.silent = True, 0, 0
        if refusals.passing(status, error.code):
            asked = refusals.retry_after(error.response.headers.get("retry-after"), LONGEST_WAIT_S)
            if status in refusals.OVERLOAD:
                self._gate.overloaded(number, max(asked or 0.0, _pause(attempt)))
            return _Trouble("server", pause_s=asked, busy=status == 429)
        kind = refusals.withheld(status, error.code, error.body)
        if kind == "filter":
            return Response(key, error_kind=kind)
        if kind is not None:
            return _Trouble(kind)
        if structured and refusals.takes_no_schema(status, error.code, error.body):
            what = f"{place.who} gives no JSON of a schema"
            raise UnstructuredError(what, where=place.host, cure="set `output: json` for it") from None
        what, cure = refusals.mistake(status, error.body, place.model, place.api_key_env)
        fatal = MergescopeError(f"{place.who} {what}: HTTP {status}", where=place.host, cure=cure)
        if status not in (400, 413, 422):
            raise fatal from None
        # once it gave a response, in an earlier run too, a bad request is one request's fault
        if not (self._chat.answered or self._chat.journal.holds_texts):
            return _Trouble("server", fatal)  # others may be answered meanwhile
        self._chat.rejected += 1
        if self._chat.rejected > place.concurrency * SPARE:  # gateways call an expired key a bad request, too
            raise fatal from None
        return _Trouble("rejected")  # this request alone is not to its liking

    def _silent(self) -> MergescopeError | None:
        """What to raise after the last try; raises it at once where fewer in flight did not help either."""
        place, chat = self._chat.place, self._chat
        chat.silent += 1
        what = f"{place.who} gives no answer within {place.timeout_s:g} s"
        fatal = UnreachableError(what, where=place.host, cure="start it, correct base_url, or raise timeout_s")
        most = place.concurrency if chat.heard else min(place.concurrency, START)
        if chat.silent > SPARE * (most + TRIES):  # halving after halving takes twice as many as are in flight
            raise fatal from None
        return None if chat.heard else fatal

    def _unreachable(self, error: openai.APIConnectionError, *, last: bool) -> MergescopeError | None:
        place = self._chat.place
        self._chat.lost += last
        if self._chat.heard and self._chat.lost <= place.concurrency * SPARE:
            return None
        if isinstance(error.__cause__, UnboundedReplyError):
            cure = "correct base_url, or let the server send plain replies"
            return UnreachableError(f"{place.who} {error.__cause__}", where=place.host, cure=cure)
        what = f"{place.who} cannot be reached: {type(error).__name__}"
        return UnreachableError(what, where=place.host, cure="start it, or correct base_url")


def _pause(attempt: int) -> float:
    pause = min(FIRST_PAUSE_S * 2.0**attempt, LONGEST_PAUSE_S)
    return pause * (1 + random.random() / 2)
