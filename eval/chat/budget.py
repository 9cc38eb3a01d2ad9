"""What requests cost, and how much one run may spend on them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from eval.chat.journal import Response
from mergescope.ground.errors import MergescopeError
from mergescope.ground.units import amount_text

MILLION = Decimal(1_000_000)
WAIT_S = 0.05
"""Seconds between two looks whether what is in flight has left room."""


class BudgetReachedError(Exception):
    """A request that would not fit into what is left; who asks leaves its question for another run."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a server takes for a million tokens."""

    prompt: Decimal
    completion: Decimal
    unit: str
    """A currency, or `tokens`."""

    def cost(self, prompt: int, completion: int) -> Decimal:
        """Of so many prompt and completion tokens, in the unit."""
        return (prompt * self.prompt + completion * self.completion) / MILLION

    def charged(self, response: Response) -> Decimal | None:
        """What a response cost; None where the server does not say how many tokens it took."""
        if response.prompt_tokens is None or response.completion_tokens is None:
            return None
        return self.cost(response.prompt_tokens, response.completion_tokens)


TOKENS = Tariff(MILLION, MILLION, "tokens")
"""Counts tokens, whatever they cost."""


@dataclass(slots=True)
class Used:
    """What one process took of a server; responses of earlier ones, read from the journal, are not counted."""

    requests: int = 0
    """Those that a completion came back for, whole or broken off."""
    prompt: int = 0
    """Prompt tokens, as far as the server tells."""
    completion: int = 0

    def add(self, response: object) -> None:
        """Count what came of a request; what is no response took nothing that is known."""
        if isinstance(response, Response) and response.error_kind is None:
            self.requests += 1
            self.prompt += response.prompt_tokens or 0
            self.completion += response.completion_tokens or 0


class Budget:
    """What one run may spend, for all judges together; threads share it."""

    def __init__(self, limit: Decimal, unit: str) -> None:
        """unit: a currency, or `tokens`."""
        self.limit = limit
        self.unit = unit
        self.spent = Decimal(0)
        """For requests that ended."""
        self.refused: Decimal | None = None
        """What the first request that did not fit might have taken; None while all did."""
        self._held = Decimal(0)
        """For requests in flight, as much as they may take at most."""
        self._lock = threading.Lock()

    def hold(self, most: Decimal) -> bool:
        """Set aside what a request may take at most; False: not now, but perhaps when others have ended.

        Raises BudgetReachedError where it does not fit although nothing is in flight, and from then on for every one.
        """
        with self._lock:
            fits = self.spent + self._held + most <= self.limit
            if self.refused is None and not fits and not self._held:
                self.refused = most
            if self.refused is not None:
                raise BudgetReachedError
            self._held += most if fits else 0
            return fits

    def settle(self, held: Decimal, spent: Decimal) -> None:
        """A request has ended: it took `spent` of the `held`."""
        with self._lock:
            self._held -= held
            self.spent += spent

    def reached(self, left: str) -> MergescopeError:
        """What to tell the user of a run in which a request was `refused`. left: what another run has to do."""
        needed = self.refused or Decimal(0)
        limit, spent, most = (amount_text(amount, self.unit) for amount in (self.limit, self.spent, needed))
        what = f"{spent} of the budget of {limit} are spent, and the next request may take {most}"
        return MergescopeError(what, cure=f"what was paid for is stored; run this again with another budget ({left})")


class Purse:
    """One judge's hand in a run's budget."""

    def __init__(self, budget: Budget, tariff: Tariff) -> None:
        """tariff: in the budget's unit."""
        self._budget = budget
        self._tariff = tariff

    async def hold(self, body: Mapping[str, Any]) -> Decimal:
        """Wait until a request fits and set aside what it may take at most; raises BudgetReachedError if it never will.

        A prompt has at most as many tokens as its request has bytes, and a completion has at most `max_tokens`.
        """
        size = len(json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        most = self._tariff.cost(size, body["max_tokens"])
        while not self._budget.hold(most):
            await asyncio.sleep(WAIT_S)
        return most

    def settle(self, held: Decimal, response: object) -> None:
        """Book what came of a request; one without a count of its tokens as all that was held, no response as 0."""
        spent = Decimal(0)
        if isinstance(response, Response) and response.error_kind is None:
            charged = self._tariff.charged(response)
            spent = held if charged is None else charged
        self._budget.settle(held, spent)
