"""Many items under work at once behind a plain iterator."""

from __future__ import annotations

import asyncio
import gc
import resource
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from eval.chat.gate import Gate
from eval.chat.stream import completed

Opened = Callable[[], AbstractAsyncContextManager[Callable[[int], Awaitable[int]]]]


def opened(worker: Callable[[int], Awaitable[int]]) -> Opened:
    @asynccontextmanager
    async def open_it() -> AsyncIterator[Callable[[int], Awaitable[int]]]:
        yield worker

    return open_it


async def doubled(item: int) -> int:
    await asyncio.sleep(0.001 * (item % 3))
    return 2 * item


def ends_soon(name: str) -> bool:
    deadline = time.monotonic() + 5
    while any(thread.name == name for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_every_item_comes_out_once() -> None:
    assert sorted(completed(range(500), opened(doubled), 7)) == [(i, 2 * i) for i in range(500)]
    assert list(completed((), opened(doubled), 7)) == []
    assert ends_soon("chat")
    assert ends_soon("chat items")


def test_an_item_that_is_waited_for_holds_nothing_up() -> None:
    seen = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        assert seen.wait(5)
        yield 2

    results = completed(items(), opened(doubled), 4)
    assert next(results) == (1, 2)
    seen.set()
    assert list(results) == [(2, 4)]


def test_no_more_than_the_width_is_pulled_and_under_work() -> None:
    busy: list[int] = []
    pulled: list[int] = []
    done: list[int] = []
    most: list[int] = []

    def items() -> Iterator[int]:
        for i in range(40):
            pulled.append(i)
            yield i

    async def worker(item: int) -> int:
        busy.append(item)
        most.append(len(pulled) - len(done))
        await asyncio.sleep(0.002)
        busy.remove(item)
        done.append(item)
        return item

    assert len(list(completed(items(), opened(worker), 5))) == 40
    assert max(most) == 5


@pytest.mark.parametrize("from_items", [True, False])
def test_an_error_is_raised_here_and_stops_everything(from_items: bool) -> None:
    cancelled: list[int] = []

    def items() -> Iterator[int]:
        yield from range(5)
        time.sleep(0.05)  # else their work is cancelled before it begins
        if from_items:
            raise LookupError("no more")
        yield 5

    async def worker(item: int) -> int:
        if item == 5:
            raise LookupError("no more")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    with pytest.raises(LookupError, match="no more"):
        list(completed(items(), opened(worker), 10))
    assert sorted(cancelled) == list(range(5))
    assert ends_soon("chat")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio's, of a loop half made
def test_no_room_for_a_loop_is_an_error() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # files that are open stay so
    try:
        with pytest.raises(OSError, match="Too many open files"):
            list(completed(range(5), opened(doubled), 7))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        gc.collect()
    assert ends_soon("chat")


def test_no_room_for_a_thread_that_pulls_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "chat items":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        list(completed(range(5), opened(doubled), 7))
    assert ends_soon("chat")


def test_a_caller_that_stops_cancels_what_is_under_way() -> None:
    cancelled: list[int] = []
    never = threading.Event()

    def items() -> Iterator[int]:
        yield from range(6)
        never.wait(10)  # pulling blocks for ever, and holds nobody up

    async def worker(item: int) -> int:
        try:
            await asyncio.sleep(60 if item else 0)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        return item

    results = completed(items(), opened(worker), 10)
    assert next(results) == (0, 0)
    time.sleep(0.05)
    results.close()  # type: ignore[attr-defined]
    assert sorted(cancelled) == [1, 2, 3, 4, 5]
    assert ends_soon("chat")
    never.set()
    assert ends_soon("chat items")


async def _rounds(gate: Gate, rounds: int) -> list[int]:
    limits = []
    for _ in range(rounds):
        numbers = [await gate.enter() for _ in range(gate.limit)]
        for _ in numbers:
            gate.answered()
            gate.leave()
        limits.append(gate.limit)
    return limits


def test_the_gate_doubles_until_an_overload_halves_it_and_then_grows_by_one() -> None:
    async def run() -> None:
        gate = Gate(most=64)
        assert await _rounds(gate, 4) == [16, 32, 64, 64]
        numbers = [await gate.enter() for _ in range(64)]
        for number in numbers:  # one round's overloads are one overload
            gate.overloaded(number, 0.0)
            gate.leave()
        assert gate.limit == 32
        assert await _rounds(gate, 3) == [33, 34, 35]

    asyncio.run(run())


def test_a_gate_shuts_when_everything_is_turned_down() -> None:
    async def run() -> None:
        gate = Gate(most=4)
        for _ in range(8):
            gate.overloaded(await gate.enter(), 0.2)
            gate.leave()
        assert gate.limit == 1
        start = time.monotonic()
        await gate.enter()
        assert time.monotonic() - start >= 0.15
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gate.enter(), 0.05)  # one alone may be in flight
        gate.leave()
        await asyncio.wait_for(gate.enter(), 1)  # the one that was given up holds no place

    start = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - start < 5
