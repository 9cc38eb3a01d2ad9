"""Requests in files that a server works off within a day (OpenAI's batch mode); each response is journalled before use.

A batch outlives the process that sent it: its requests lie beside the journal, with the server's name of it, until its
responses are journalled. A run that finds them waits for that batch and sends none of its requests again. Between the
server's taking a batch and our noting its name a kill leaves no note: then the batch is found at the server by the
content id in its metadata. Only an upload that was cut off is uploaded twice, and a file alone costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

import openai
from openai.types import Batch

from eval.chat import refusals
from eval.chat.batch_file import BatchFile, Gathering, files_in, request_line
from eval.chat.batch_rows import Rejected, key_and_nth, read_rows, request_name
from eval.chat.batch_server import BatchServer, refused_batch, trouble
from eval.chat.client import Asker, Body, Chat
from eval.chat.journal import Response
from eval.chat.refusals import Failure
from eval.chat.stream import Revocable, completed
from mergescope.ground.errors import MergescopeError

T = TypeVar("T")
R = TypeVar("R")
Outcomes = dict[str, Response | Failure]

CHECK_S = 0.2
"""Seconds between two looks whether all questions wait."""
ALL = 10**9
"""Items under work at once: all of them wait for a batch."""


def batched(chat: Chat, items: Iterable[T], work: Callable[[Asker, T], Awaitable[R]]) -> Iterator[tuple[T, R]]:
    """Each item with what `work` made of it; what it asks is gathered into batches.

    A batch is sent when it is full, or when the items have ended and all of them wait. Raises MergescopeError for
    what no retry mends, and where the server refuses a batch as a whole.
    """
    flow = _Flow(items)

    @asynccontextmanager
    async def opened() -> AsyncIterator[Callable[[T], Awaitable[R]]]:
        async with BatchSession.open(chat, flow) as session:

            async def one(item: T) -> R:
                try:
                    return await work(session, item)
                finally:
                    flow.finished += 1

            yield one

    return completed(flow, opened, ALL)


def refuse_pending(chat: Chat) -> None:
    """Raise MergescopeError where batches of an earlier run wait: asking one by one would pay for them twice.

    Files that never reached the server are given up.
    """
    waiting = 0
    for file in list(files_in(_folder_of(chat))):
        if file.sent().file_id is None:
            file.remove()
        else:
            waiting += len(file.requests())
    if waiting:
        what = f"{waiting:,} question{'' if waiting == 1 else 's'} of this judge wait in a batch that was sent"
        cure = "set `batch: true` to fetch them, or remove the folder to pay for them again"
        raise MergescopeError(what, where=_folder_of(chat), cure=cure)


def _folder_of(chat: Chat) -> Path:
    return chat.journal.path.with_suffix(".batches")


class _Flow(Generic[T]):
    """Items on their way, counted."""

    def __init__(self, items: Iterable[T]) -> None:
        self._items = items
        self.taken = self.finished = 0
        self.ended = False
        """Whether no more will come."""

    @property
    def called_off(self) -> bool:
        """Whether nobody wants what comes of them."""
        return isinstance(self._items, Revocable) and self._items.called_off

    def __iter__(self) -> Iterator[T]:
        for item in self._items:
            self.taken += 1
            yield item
        self.ended = True


class _Wait:
    """A batch, and those who wait for what comes of it."""

    def __init__(self, names: Iterable[str] = (), *, renamed: bool = False) -> None:
        self.names = list(names)
        self.renamed = renamed
        """Whether its requests name the longest completion as only some servers do."""
        self.misnamed = False
        """Whether all its requests were refused for that name, and are gathered anew with the other."""
        self._outcomes: Outcomes | None = None
        self._error: Exception | None = None
        self._waiting: list[asyncio.Future[None]] = []
        """One for each who waits: calling off tens of thousands that share one takes the square of that."""

    async def outcome(self, name: str) -> Response | Failure:
        """What came of one request; raises what the batch failed with."""
        if self._outcomes is None and self._error is None:
            settled = asyncio.get_running_loop().create_future()
            self._waiting.append(settled)
            await settled
        if self._outcomes is None:
            raise (self._error or ValueError("settled without an outcome")).with_traceback(None)
        return self._outcomes[name]

    def settle(self, outcomes: Outcomes | None = None, error: Exception | None = None) -> None:
        """All who wait go on."""
        self._outcomes, self._error = outcomes, error
        for settled in self._waiting:
            if not settled.done():
                settled.set_result(None)


class BatchSession:
    """A Chat within one event loop that gathers its requests."""

    def __init__(self, chat: Chat, server: BatchServer, flow: _Flow[Any]) -> None:
        self._chat = chat
        self._server = server
        self._flow = flow
        self._folder = _folder_of(chat)
        self._gathering: tuple[Gathering, _Wait] | None = None
        self._waits: dict[str, _Wait] = {}
        """By request."""
        self._waiting = 0
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, chat: Chat, flow: _Flow[Any]) -> AsyncIterator[BatchSession]:
        """A session that goes on with what an earlier one left."""
        async with BatchServer.open(chat.place, chat.key) as server:
            session = cls(chat, server, flow)
            try:
                session._resume()
                yield session
            finally:
                await session._close()

    async def ask(self, key: str, body: Callable[[], Body], nth: int = 0) -> Response | Failure:
        """The `nth` response to a request, from the journal where it is there, else from a batch."""
        received = self._chat.journal.responses(key)
        if nth < len(received):
            return received[nth]
        name = request_name(key, nth)
        wait = self._waits.get(name) or self._gather(name, body())
        outcome = await self._waited(wait, name)
        if not wait.misnamed:
            return outcome
        if self._waits[name] is wait:
            self._gather(name, body())
        return await self._waited(self._waits[name], name)

    async def _waited(self, wait: _Wait, name: str) -> Response | Failure:
        self._waiting += 1
        try:
            return await wait.outcome(name)
        finally:
            self._waiting -= 1

    def _resume(self) -> None:
        for file in files_in(self._folder):
            wait = _Wait(file.requests())
            self._waits.update(dict.fromkeys(wait.names, wait))
            self._tasks.append(asyncio.create_task(self._attend(file, wait, resumed=True)))
        self._tasks.append(asyncio.create_task(self._watch()))

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._gathering is not None:
            self._gathering[0].drop()
        self._chat.journal.close()

    def _gather(self, name: str, body: Body) -> _Wait:
        line = request_line(name, self._chat.named(body))
        if self._gathering is not None and not self._gathering[0].has_room(line):
            self._send()
        if self._gathering is None:
            self._gathering = Gathering(self._folder), _Wait(renamed=self._chat.completion_tokens)
        gathering, wait = self._gathering
        gathering.add(line)
        wait.names.append(name)
        self._waits[name] = wait
        return wait

    async def _watch(self) -> None:
        """Send what is gathered once nothing more can come before an answer does."""
        while True:
            await asyncio.sleep(CHECK_S)
            if self._flow.ended and self._waiting == self._flow.taken - self._flow.finished:
                self._send()

    def _send(self) -> None:
        if self._gathering is None:
            return
        (gathering, wait), self._gathering = self._gathering, None
        try:
            file = gathering.close()
        except Exception as error:  # noqa: BLE001 -- raised by those who wait
            wait.settle(error=error)
        else:
            self._tasks.append(asyncio.create_task(self._attend(file, wait, resumed=False)))

    async def _attend(self, file: BatchFile, wait: _Wait, *, resumed: bool) -> None:
        """See one batch through."""
        try:
            wait.settle(await self._through(file, wait, resumed=resumed))
        except openai.APIError as error:
            wait.settle(error=trouble(self._chat.place, error))
        except Exception as error:  # noqa: BLE001 -- raised by those who wait
            wait.settle(error=error)

    async def _through(self, file: BatchFile, wait: _Wait, *, resumed: bool) -> Outcomes:
        batch = await self._server.ended(await self._server.started(file, perhaps=resumed))
        if batch.status == "failed":
            file.remove()  # the next run gathers its requests anew
            raise refused_batch(self._chat.place, batch)
        found = await self._received(batch, wait.names)
        file.remove()
        rejected = [one for one in found.values() if isinstance(one, Rejected)]
        if rejected and len(rejected) == len(found):
            self._all_rejected(wait, rejected[0])
        return {name: "rejected" if isinstance(one, Rejected) else one for name, one in found.items()}

    async def _received(self, batch: Batch, names: list[str]) -> dict[str, Response | Failure | Rejected]:
        """What came of each request, the responses journalled."""
        rows: dict[str, Response | Failure | Rejected] = {}
        for content in await self._server.files_of(batch):
            rows |= read_rows(content)
        absent: Failure = "timeout" if batch.status == "expired" else "server"
        found = {name: rows.get(name, absent) for name in names}
        await self._keep(found)
        return found

    def _all_rejected(self, wait: _Wait, one: Rejected) -> None:
        """Raise what every request would meet, unless they only have to be named otherwise; as a `Session` does."""
        chat, place = self._chat, self._chat.place
        if refusals.wants_completion_tokens(one.error) and not wait.renamed:
            chat.completion_tokens = wait.misnamed = True
        elif one.status not in (400, 413, 422) or not chat.journal.holds_texts:
            what, cure = refusals.mistake(one.status, one.error, place.model, place.api_key_env)
            what = f"{place.who} {what}: HTTP {one.status} for each request of a batch"
            raise MergescopeError(what, where=place.host, cure=cure)

    async def _keep(self, found: Mapping[str, Response | Failure | Rejected]) -> None:
        journal = self._chat.journal
        fresh = []
        for name, outcome in found.items():
            key, nth = key_and_nth(name)
            # a kill may have come between the journal and the end of the batch's file
            if isinstance(outcome, Response) and len(journal.responses(key)) <= nth:
                fresh.append(outcome)
        for response in fresh:
            journal.write(response)
        if fresh:
            await asyncio.to_thread(journal.sync)
        for response in fresh:
            journal.keep(response)
