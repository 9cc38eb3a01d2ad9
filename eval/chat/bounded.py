"""Replies of bounded size: a server cannot fill this machine's memory, neither with bytes nor with compressed ones."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

MIB = 2**20
REPLY = 16 * MIB
"""Largest reply to one request, in bytes: more than any completion that a request may ask for."""
UNCOMPRESSED = {"accept-encoding": "identity"}
"""Header that asks for plain bytes: 400 kB of gzip can hold 400 MB."""


class UnboundedReplyError(httpx2.TransportError):
    """A reply that is too large, or compressed so that its size cannot be known beforehand."""


class Bound:
    """A response hook of httpx that lets no reply grow above `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most

    async def __call__(self, response: httpx2.Response) -> None:
        """Raises UnboundedReplyError here, or while the body is read."""
        coding = response.headers.get("content-encoding", "identity")
        if coding.strip().lower() not in ("", "identity"):
            await response.aclose()
            raise UnboundedReplyError("compresses its replies, though asked for plain ones")
        if isinstance(response.stream, httpx2.AsyncByteStream):
            response.stream = _Counted(response.stream, self._most)


class _Counted(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, most: int) -> None:
        self._stream = stream
        self._most = most

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for chunk in self._stream:
            count += len(chunk)
            if count > self._most:
                raise UnboundedReplyError(f"sends replies of more than {self._most // MIB:,} MiB")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
