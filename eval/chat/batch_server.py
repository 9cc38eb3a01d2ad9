"""Batches at a server: uploaded, started once, looked at until they end, and their files fetched."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import openai
from openai import AsyncOpenAI
from openai.types import Batch

from eval.chat import refusals
from eval.chat.batch_file import ENDPOINT, BatchFile, SentFile
from eval.chat.bounded import MIB
from eval.chat.client import FIRST_PAUSE_S, TRIES, UnreachableError, connected
from eval.chat.place import Place
from mergescope.ground.errors import MergescopeError

POLL_S = 20.0
"""Seconds between two looks at a batch."""
LOST = 30
"""Looks in a row that may fail: about ten minutes, and the tries of each look."""
BATCH = 1024 * MIB
"""Largest file of a batch, in bytes: 50,000 answers of 20 kB."""
TRANSFER_S = 900.0
"""Seconds for one upload or download."""
LABEL = "mergescope"
"""Key of a batch's metadata that holds its content id."""
SKEW_S = 86_400
"""Seconds by which a server's clock may differ from ours."""
_ENDED = ("completed", "failed", "expired", "cancelled")
_LACKING = (400, 404, 405)
"""Statuses of a server that does not know the file of a batch, or knows no batches."""
_PASSING = (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError)


class BatchServer:
    """A server that takes batches, within one event loop; errors are the package's own (`openai.APIError`)."""

    def __init__(self, client: AsyncOpenAI) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Place, key: str) -> AsyncIterator[BatchServer]:
        """Connections for as long as the block runs."""
        async with connected(place, key, retries=TRIES - 1, most=BATCH) as client:
            yield cls(client)

    async def started(self, file: BatchFile, *, perhaps: bool) -> str:
        """The server's name of a file's batch, noted beside the file; uploaded and started if it is not yet.

        perhaps: an earlier run may have started it and died before it could note the name.
        """
        uploaded = False
        for attempt in range(TRIES):
            sent = file.sent()
            if sent.batch_id is None and sent.file_id is not None and perhaps:
                sent = SentFile(sent.file_id, await self._find(file))
            elif sent.file_id is None:
                sent, uploaded = SentFile(await self._upload(file)), True
                file.note(sent)
            try:
                batch_id = sent.batch_id or await self._start(file, sent.file_id or "")
            except _PASSING:
                if attempt == TRIES - 1:
                    raise
            except openai.APIStatusError as error:
                if error.status_code not in _LACKING:
                    raise
                file.note(SentFile())  # nothing is started; the file of an earlier run may be gone from the server
                if uploaded or attempt == TRIES - 1:
                    raise
            else:
                file.note(SentFile(sent.file_id, batch_id))
                return batch_id
            perhaps = True
            await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
        raise ValueError("no tries")

    async def ended(self, batch_id: str) -> Batch:
        """The batch as it ended; this may take a day."""
        lost = 0
        while True:
            try:
                batch = await self._client.batches.retrieve(batch_id)
            except _PASSING:
                lost += 1
                if lost > LOST:
                    raise
            else:
                lost = 0
                if batch.status in _ENDED:
                    return batch
            await asyncio.sleep(POLL_S)

    async def files_of(self, batch: Batch) -> list[bytes]:
        """What it left: output and errors, as far as there are any."""
        ids = filter(None, (batch.output_file_id, batch.error_file_id))
        return [(await self._client.files.content(name, timeout=TRANSFER_S)).content for name in ids]

    async def _find(self, file: BatchFile) -> str | None:
        seen: set[str] = set()
        first = await self._client.batches.list(limit=100)
        async for page in first.iter_pages():
            fresh = [batch for batch in page.data if batch.id not in seen]
            seen.update(batch.id for batch in fresh)
            if mine := next((batch for batch in fresh if (batch.metadata or {}).get(LABEL) == file.name), None):
                return mine.id
            # newest first; some servers give the first page for ever
            if not fresh or fresh[-1].created_at < file.gathered - SKEW_S:
                break
        return None

    async def _upload(self, file: BatchFile) -> str:
        uploaded = await self._client.files.create(file=file.path, purpose="batch", timeout=TRANSFER_S)
        return uploaded.id

    async def _start(self, file: BatchFile, file_id: str) -> str:
        # without the package's own retries: the first try may have started it
        once = self._client.with_options(max_retries=0)
        batch = await once.batches.create(
            input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h", metadata={LABEL: file.name}
        )
        return batch.id


def trouble(place: Place, error: openai.APIError) -> MergescopeError:
    """What to tell of an error that no retry mended; never in the server's words."""
    if not isinstance(error, openai.APIStatusError):
        cure = "run again later: a batch that was sent goes on meanwhile"
        return UnreachableError(f"{place.who} cannot be reached: {type(error).__name__}", where=place.host, cure=cure)
    status = error.status_code
    if status in (404, 405, 501):
        what = "has no batches, or does not know this one"
        cure = "put back the key that the batch was sent with; leave `batch` out where the server has no batches"
    elif refusals.passing(status, error.code):
        what, cure = "failed again and again", "run again later: a batch that was sent goes on meanwhile"
    else:
        what, cure = refusals.mistake(status, error.body, place.model, place.api_key_env)
    return MergescopeError(f"{place.who} {what}: HTTP {status}", where=place.host, cure=cure)


def refused_batch(place: Place, batch: Batch) -> MergescopeError:
    """What to tell of a batch that was refused as a whole; of the server's words only a code."""
    errors = (batch.errors and batch.errors.data) or []
    code = next((error.code for error in errors if error.code and re.fullmatch(r"[a-z0-9_]{1,40}", error.code)), None)
    cure = "correct what it names, then run again"
    if code == "token_limit_exceeded":
        cure = "run again when the batches before it have ended"
    return MergescopeError(f"{place.who} refuses the batch", where=place.host, value=code, cure=cure)
