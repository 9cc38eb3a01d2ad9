"""One kind of failure as a score table, so that the evaluation's own statistics count it.

Letters in shapes: C checkpoints, I items, S answers per item.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from dashboard.failures.kinds import Looked
from dashboard.failures.outcomes import Outcomes, Prompts, Tokens
from eval.metrics import Metric, Part
from eval.scores import Items, ScoreTable
from eval.statistics import Floats

KIND = "any"
"""Kind of all items of such a table, whatever kind of prompt they have: the condition itself tells them apart."""
FAILED = Metric("failed", "rate", (Part(KIND, lambda table: table.axes["failed"]),), higher_is_better=False)
"""The share of prompts that fail."""


def failure_table(looked: Looked, prompts: Prompts, found: Mapping[str, Outcomes]) -> ScoreTable:
    """Axis `failed` (C, I, S): 1 where the answer fails, 0 where it could have, NaN elsewhere; every item weighs 1.

    found: outcomes by checkpoint id, in the table's order.
    """
    values = np.full(_shape(prompts, found), np.nan)
    for row, some in enumerate(found.values()):
        among = looked.among(some, prompts)
        values[row, some.item[among], some.sample[among]] = looked.failed(some, prompts)[among]
    return _table(prompts, found, {"failed": values})


def token_table(prompts: Prompts, found: Mapping[str, Outcomes], lengths: Mapping[str, Tokens]) -> ScoreTable:
    """Axes `tokens` and `cut` (C, I, S), NaN where there is no text; items keep their kinds."""
    axes = {name: np.full(_shape(prompts, found), np.nan) for name in ("tokens", "cut")}
    for row, (name, some) in enumerate(found.items()):
        long = lengths[name]
        axes["tokens"][row, long.item, long.sample] = long.tokens
        axes["cut"][row, some.item, some.sample] = np.where(some.cut >= 0, some.cut, np.nan)
    return _table(prompts, found, axes, keep_kinds=True)


def _shape(prompts: Prompts, found: Mapping[str, Outcomes]) -> tuple[int, int, int]:
    samples = max((int(some.sample.max(initial=0)) + 1 for some in found.values()), default=1)
    return len(found), len(prompts.keys), samples


def _table(
    prompts: Prompts, found: Mapping[str, Outcomes], axes: dict[str, Floats], *, keep_kinds: bool = False
) -> ScoreTable:
    size = len(prompts.keys)
    items = Items(
        set_name=np.array([key.set_name for key in prompts.keys], dtype=np.str_),
        kind=prompts.kind if keep_kinds else np.full(size, KIND),
        top_category=np.array([(category or ("",))[0] for category in prompts.categories], dtype=np.str_),
        confirm=np.zeros(size, dtype=np.bool_),
        stratum=prompts.stratum,
        group=prompts.group,
        reference_refusal=np.full(size, -1, dtype=np.int64),
        weight=np.ones(size),
    )
    return ScoreTable(tuple(found), items, np.zeros(_shape(prompts, found), dtype=np.bool_), axes)
