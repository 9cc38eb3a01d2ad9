"""A command of mergescope with a clock on its vLLM engine: when weights went in, when it answered, and what.

python -m benchmarks.timed_run RECORD.pickle run STUDY --store STORE
"""

from __future__ import annotations

import functools
import pickle
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mergescope.environment import share_cores, without_telemetry

if TYPE_CHECKING:
    from eval.engine import Answer, Request, Sampling


@dataclass(slots=True)
class Turn:
    """From one swap of weights to the next; seconds of the machine's monotonic clock."""

    started: float
    """The swap's beginning."""
    loaded: float = 0.0
    ratio: str | None = None
    """Of the merge that was swapped in; None for a reference."""
    generation_s: float = 0.0
    """Within `Engine.generate`."""
    ended: float = 0.0
    """Of its last call of `generate`."""
    calls: list[tuple[list[Request], Sampling, list[Answer]]] = field(default_factory=list)


@dataclass(slots=True)
class Record:
    """What the clock saw."""

    opened_s: float = 0.0
    """Start of the engine."""
    turns: list[Turn] = field(default_factory=list)


def watch(record: Record) -> None:
    """Put the clock on: the engine's start, `load` and `generate`, and the blend, which knows the ratio."""
    from eval.engines.vllm import VllmEngine
    from merge.blend import Blender

    asked: list[str] = []

    def opened(method: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        started = time.monotonic()
        method(*args, **kwargs)
        record.opened_s += time.monotonic() - started

    def blended(method: Callable[..., Any], self: Any, point: Any, *args: Any, **kwargs: Any) -> Any:
        asked.append(str(point.ratio))
        return method(self, point, *args, **kwargs)

    def loaded(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        turn = Turn(time.monotonic())
        record.turns.append(turn)
        result = method(*args, **kwargs)
        turn.loaded = time.monotonic()
        turn.ratio = asked.pop() if asked else None
        asked.clear()
        return result

    def generated(method: Callable[..., Any], self: Any, requests: Any, sampling: Any) -> Iterator[tuple[int, Answer]]:
        turn = record.turns[-1]
        answers: dict[int, Answer] = {}
        started = time.monotonic()
        for place, answer in method(self, requests, sampling):
            answers[place] = answer
            turn.generation_s += time.monotonic() - started
            yield place, answer
            started = time.monotonic()  # what the sweep does with an answer is no generation
        turn.ended = time.monotonic()
        turn.generation_s += turn.ended - started
        turn.calls.append((list(requests), sampling, [answers[place] for place in sorted(answers)]))

    for owner, name, clock in (
        (VllmEngine, "__init__", opened),
        (VllmEngine, "load", loaded),
        (VllmEngine, "generate", generated),
        (Blender, "blend", blended),
    ):
        _wrap(owner, name, clock)


def _wrap(owner: type, name: str, clock: Callable[..., Any]) -> None:
    method = getattr(owner, name)

    @functools.wraps(method)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return clock(method, *args, **kwargs)

    setattr(owner, name, wrapper)


def main() -> None:
    without_telemetry()
    share_cores()  # as the command line does, before torch
    path = Path(sys.argv[1])
    record = Record()
    watch(record)
    from mergescope.cli import main as command

    sys.argv[1:] = sys.argv[2:]
    try:
        command()
    finally:
        path.write_bytes(pickle.dumps(record))


if __name__ == "__main__":
    # by its real name, so that the pickle can be read elsewhere
    from benchmarks.timed_run import main as timed_main

    timed_main()
