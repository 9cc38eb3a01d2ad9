"""Work on many items at once in an event loop of its own, for callers that only know plain iterators."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeVar, runtime_checkable

T = TypeVar("T")
R = TypeVar("R")
Worker = Callable[[T], Awaitable[R]]
LOOK_S = 0.2
"""Seconds between two looks whether the items are called off, while no result comes."""


@runtime_checkable
class Revocable(Protocol):
    """Items that may be called off after the last of them was taken, when nobody asks for the next one any more."""

    @property
    def called_off(self) -> bool:
        """Whether nobody wants what comes of them."""


class _End(Enum):
    END = "end"


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


def completed(
    items: Iterable[T], opened: Callable[[], AbstractAsyncContextManager[Worker[T, R]]], width: int
) -> Iterator[tuple[T, R]]:
    """Each item with what came of it, as soon as it is there.

    opened: makes the worker within the event loop. width: most items under work at once. Pulling from `items` happens
    in a thread of its own and may block. What `items` or the worker raises is raised here. When the caller stops
    early, or the items are `Revocable` and called off, all that is under way is cancelled and the loop's thread ends.
    """
    run = _Run(items, opened, width)
    run.start()
    try:
        while not isinstance(got := run.next(), _End):
            if isinstance(got, _Failed):
                raise got.error
            yield got
    finally:
        run.stop()


class _Run(Generic[T, R]):
    """One pass over the items: a thread that pulls, and a thread with the loop that works."""

    def __init__(
        self, items: Iterable[T], opened: Callable[[], AbstractAsyncContextManager[Worker[T, R]]], width: int
    ) -> None:
        self.results: SimpleQueue[tuple[T, R] | _Failed | _End] = SimpleQueue()
        self._items = items
        self._opened = opened
        self._free = threading.Semaphore(width)
        self._lock = threading.Lock()
        self._ended = False
        """Whether the loop takes no more calls; guarded by the lock."""
        self._ready = threading.Event()
        self._arrivals: asyncio.Queue[T | _Failed | _End] = asyncio.Queue()
        self._thread = threading.Thread(target=self._run, name="chat", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def next(self) -> tuple[T, R] | _Failed | _End:
        while True:
            try:
                return self.results.get(timeout=LOOK_S)
            except Empty:
                if isinstance(self._items, Revocable) and self._items.called_off:
                    return _End.END

    def stop(self) -> None:
        self._in_loop(lambda: self._task.cancel())
        self._thread.join()

    def _run(self) -> None:
        serving = self._serve()
        try:
            asyncio.run(serving)
        except Exception as error:
            if self._ready.is_set():
                raise
            with self._lock:  # no loop: too many open files, for example
                self._ended = True
            self.results.put(_Failed(error))
        finally:
            serving.close()
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._work())
        self._ready.set()
        await asyncio.wait([self._task])

    async def _work(self) -> None:
        try:
            threading.Thread(target=self._pull, name="chat items", daemon=True).start()
            async with self._opened() as worker, asyncio.TaskGroup() as tasks:
                while not isinstance(item := await self._arrivals.get(), _End):
                    if isinstance(item, _Failed):
                        raise item.error
                    tasks.create_task(self._one(worker, item))
        except asyncio.CancelledError:
            pass  # the caller stopped
        except BaseExceptionGroup as group:
            self.results.put(_Failed(group.exceptions[0]))
        except Exception as error:  # noqa: BLE001 -- raised in the caller's thread
            self.results.put(_Failed(error))
        finally:
            with self._lock:
                self._ended = True
            self._free.release()  # the pulling thread may wait for it
            self.results.put(_End.END)

    async def _one(self, worker: Worker[T, R], item: T) -> None:
        result = await worker(item)
        self._free.release()
        self.results.put((item, result))

    def _pull(self) -> None:
        try:
            items = iter(self._items)
            while self._free.acquire() and not self._ended:
                item = next(items, _End.END)
                self._in_loop(partial(self._arrivals.put_nowait, item))
                if isinstance(item, _End):
                    return
        except BaseException as error:  # noqa: BLE001 -- raised in the caller's thread
            self._in_loop(partial(self._arrivals.put_nowait, _Failed(error)))

    def _in_loop(self, call: Callable[[], object]) -> None:
        with self._lock:
            if not self._ended:
                self._loop.call_soon_threadsafe(call)
