"""What judgements cost: from the tokens that a server counted and the price that the recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from eval.chat.budget import TOKENS, Budget, Purse, Tariff
from eval.chat.journal import Response
from eval.config import Price
from eval.judge import Judgement
from mergescope.ground.errors import MergescopeError

N = TypeVar("N", int, Decimal)


def tariff_of(price: Price | None) -> Tariff | None:
    """A recipe's price; None: not known."""
    return None if price is None else Tariff(price.prompt, price.completion, price.currency)


def purse_of(budget: Budget, tariff: Tariff | None, model: str) -> Purse:
    """A served model's hand in the budget; raises MergescopeError where no price tells what a request takes of it."""
    if budget.unit == TOKENS.unit:
        return Purse(budget, TOKENS)
    if tariff is None or tariff.unit != budget.unit:
        cure = f"give its `price` in {budget.unit} (0 where it costs nothing), or a budget in tokens"
        raise MergescopeError("this model has no price to keep a budget by", where=model, cure=cure)
    return Purse(budget, tariff)


def with_cost(judgement: Judgement, received: Sequence[Response], tariff: Tariff | None) -> Judgement:
    """The judgement with what all its responses took, as far as the server and the recipe tell."""
    cost = None if tariff is None else _total([tariff.charged(response) for response in received])
    return replace(
        judgement,
        tokens=_count([response.tokens for response in received]),
        prompt_tokens=_count([response.prompt_tokens for response in received]),
        completion_tokens=_count([response.completion_tokens for response in received]),
        cost=None if cost is None else float(cost),
        currency=None if cost is None or tariff is None else tariff.unit,
    )


def _count(counts: Sequence[int | None]) -> int | None:
    """The sum of what is known; None also where it is more than the store's INTEGER holds, which no request takes."""
    total = _total(counts)
    return total if total is None or total < 2**31 else None


def _total(counts: Sequence[N | None]) -> N | None:
    """The sum of what is known; None where nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known[1:], start=known[0]) if known else None
