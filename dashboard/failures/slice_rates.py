"""How often a checkpoint fails in each slice of prompts: beside the other prompts, or beside another checkpoint."""

from __future__ import annotations

import numpy as np

from dashboard.failures.kinds import Looked
from dashboard.failures.outcomes import Prompts, outcomes
from dashboard.failures.slicing import Slice, slices_of
from dashboard.failures.tables import FAILED, failure_table
from dashboard.store.board import Board
from eval.slices import SliceRate, slices_against, slices_against_rest


def slice_rates(
    board: Board, prompts: Prompts, looked: Looked, picked: str, baseline: str | None
) -> list[tuple[Slice, SliceRate]]:
    """Each slice with the checkpoint's rate in it; baseline: id of another checkpoint, None for the other prompts."""
    found = {name: outcomes(board, name) for name in (picked, baseline) if name is not None}
    among = looked.could_fail(found[picked], prompts)
    slices = slices_of(prompts, among)
    table = failure_table(looked, prompts, found).where(among)
    inside = [np.asarray(one.mask[among]) for one in slices]
    if baseline is None:
        rates = slices_against_rest(table, FAILED, picked, inside)
    else:
        rates = slices_against(table, FAILED, picked, baseline, inside)
    return list(zip(slices, rates, strict=True))
