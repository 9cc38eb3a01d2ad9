"""How many requests a server gets at once: more while it answers, half as many when it says that it is too much."""

from __future__ import annotations

import asyncio

START = 8
"""Requests in flight at first."""


class Gate:
    """Doubles each round of answers until the first overload, then grows by one a round (as TCP does); of one loop.

    When a server turns down more requests in a row than may be in flight, the gate shuts for as long as it asks.
    """

    def __init__(self, most: int, limit: int = START) -> None:
        """most: never more in flight. limit: how many at first."""
        self._most = most
        self.limit = min(most, limit)
        """Requests that may be in flight now."""
        self._permits = asyncio.Semaphore(self.limit)
        self._debt = 0
        """Permits that are out and shall not come back."""
        self._doubling = True
        self._answers = 0
        """Since the limit last changed."""
        self._entered = 0
        self._entered_at_halving = 0
        self._overloads = 0
        """In a row."""
        self._shut_until = 0.0

    async def enter(self) -> int:
        """Wait until one more request may be in flight; returns its number."""
        await self._permits.acquire()
        try:
            while (rest := self._shut_until - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(rest)
        except asyncio.CancelledError:
            self.leave()
            raise
        self._entered += 1
        return self._entered

    def leave(self) -> None:
        """A request is no longer in flight."""
        if self._debt:
            self._debt -= 1
        else:
            self._permits.release()

    def answered(self) -> None:
        """The server answered a request."""
        self._overloads = 0
        self._answers += 1
        if self.limit < self._most and (self._doubling or self._answers >= self.limit):
            self._answers = 0
            self.limit += 1
            self.leave()

    def overloaded(self, number: int, pause_s: float) -> None:
        """The server turned down request `number`, which will wait `pause_s` seconds."""
        self._overloads += 1
        if self._overloads > self.limit:
            self._shut_until = asyncio.get_running_loop().time() + pause_s
        if number <= self._entered_at_halving:
            return  # it was sent before the last halving and says nothing about the limit of now
        self._entered_at_halving = self._entered
        self._doubling, self._answers = False, 0
        fewer = max(1, self.limit // 2)
        self._debt += self.limit - fewer
        self.limit = fewer
