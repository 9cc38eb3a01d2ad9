"""What the servers of one run may spend: as the command line says it, held against the recipe's prices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from eval.chat.budget import TOKENS, Budget
from eval.config import Judge, OpenAIJudge, Price
from eval.judges.cost import purse_of, tariff_of
from mergescope.ground.errors import MergescopeError
from mergescope.ground.ids import decimal6


@dataclass(frozen=True, slots=True)
class BudgetLimit:
    """What the servers of one run may take at most, all together."""

    amount: Decimal
    tokens: bool
    """Whether the amount counts prompt and completion tokens; else it is in the currency of their prices."""


def limit_of(amount: str | None, tokens: int | None) -> BudgetLimit | None:
    """What --budget and --budget-tokens say; None: no limit. Raises MergescopeError for both, and for no amount."""
    if tokens is not None:
        if amount is not None:
            raise MergescopeError("stands beside --budget", where="--budget-tokens", cure="give one of the two")
        return BudgetLimit(Decimal(tokens), tokens=True)
    if amount is None:
        return None
    try:
        money = decimal6(amount)
    except ValueError as error:
        cure = "give an amount such as 2.50; the currency is that of `price`"
        raise MergescopeError(str(error), where="--budget", value=amount, cure=cure) from None
    if money < 0:
        raise MergescopeError("must not be negative", where="--budget", value=amount, cure="give what may be spent")
    return BudgetLimit(money, tokens=False)


class Server(Protocol):
    """A served model of a recipe that a budget pays: a judge, or one that makes data."""

    @property
    def model(self) -> str:
        """Its name at the server."""

    @property
    def price(self) -> Price | None:
        """What the server charges; None: not known."""


def judging_servers(judges: Sequence[Judge]) -> list[OpenAIJudge]:
    """The judges that ask a server."""
    return [judge for judge in judges if isinstance(judge, OpenAIJudge)]


def servers_budget(servers: Sequence[Server], limit: BudgetLimit | None) -> Budget | None:
    """A fresh budget for all servers of one run together; None: no limit.

    Raises MergescopeError where there are none, a judge among them works in batches, or their prices are in no one
    currency or not all known.
    """
    if limit is None:
        return None
    if not servers:
        what, cure = "no server that a budget pays is asked", "leave it out; it pays judges and what makes data"
        raise MergescopeError(what, where="--budget", cure=cure)
    if batched := next((one.model for one in servers if isinstance(one, OpenAIJudge) and one.batch), None):
        what = "a judge in batch mode is charged after the run and keeps no budget"
        cure = "leave the budget out, or its `batch` if no batch of it waits"
        raise MergescopeError(what, where="--budget", value=batched, cure=cure)
    budget = _shared([server.price for server in servers], limit)
    for server in servers:  # said now, and not after the stages before the one that asks it
        purse_of(budget, tariff_of(server.price), server.model)
    return budget


def _shared(prices: Sequence[Price | None], limit: BudgetLimit) -> Budget:
    if limit.tokens:
        return Budget(limit.amount, TOKENS.unit)
    currencies = sorted({price.currency for price in prices if price is not None})
    if len(currencies) != 1:
        what = "the servers' prices are not in one currency" if currencies else "no server of the recipe has a price"
        cure = "give each a `price` in one currency, or use --budget-tokens"
        raise MergescopeError(what, where="--budget", value=", ".join(currencies) or None, cure=cure)
    return Budget(limit.amount, currencies[0])
