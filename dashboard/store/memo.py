"""Answers kept in memory: each is worked out once, whoever asks first, and handed out without a copy."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

MOST = 128
"""Answers kept where nothing else is said; of more those go that were asked for the longest ago."""


@dataclass(slots=True)
class _Slot:
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_filled: bool = False
    value: Any = None


class Memo:
    """Answers by key, for all threads. What is taken from it must not be changed."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._slots: OrderedDict[Hashable, _Slot] = OrderedDict()

    def get(self, key: Hashable, work_out: Callable[[], Any]) -> Any:
        """The answer to `key`; others who ask for it meanwhile wait. What raises is worked out again next time."""
        with self._lock:
            slot = self._slots.setdefault(key, _Slot())
            self._slots.move_to_end(key)
            while len(self._slots) > self._most:
                self._slots.popitem(last=False)
        with slot.lock:
            if not slot.is_filled:
                slot.value, slot.is_filled = work_out(), True
            return slot.value

    def latest(self, count: int) -> list[Any]:
        """The keys asked for last, at most `count`, the oldest first."""
        with self._lock:
            return list(self._slots)[-count:]

    def values(self) -> list[Any]:
        """All answers that have been worked out, those asked for last at the end."""
        with self._lock:
            return [slot.value for slot in self._slots.values() if slot.is_filled]

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._slots.clear()
