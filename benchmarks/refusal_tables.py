"""Refusals as people call them against what a judge says: tables by answer, and intervals of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from eval.judges.refusal_label import Label

ORDER: tuple[Label, ...] = ("none", "partial", "full")
DRAWS = 2000


def confusions(labels: Sequence[Label], told: Sequence[Label]) -> NDArray[np.int64]:
    """One 3 x 3 table per answer, (N, 3, 3): label by verdict, in the order none, partial, full."""
    tables = np.zeros((len(labels), 3, 3), dtype=np.int64)
    tables[np.arange(len(labels)), [ORDER.index(x) for x in labels], [ORDER.index(x) for x in told]] = 1
    return tables


def interval(
    tables: NDArray[np.int64], statistic: Callable[[NDArray[np.int64]], NDArray[np.float64]], seed: int
) -> list[float]:
    """95 % of a statistic of summed tables over draws of the rows of `tables` (N, 3, 3), three digits."""
    drawn = np.random.default_rng(seed).multinomial(len(tables), np.full(len(tables), 1 / len(tables)), DRAWS)
    return [round(float(end), 3) for end in np.quantile(statistic(np.tensordot(drawn, tables, 1)), [0.025, 0.975])]
