"""Answers that a person reads before choosing: drawn from where a point may be worse than its numbers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Literal

from dashboard.store import answers
from dashboard.store.answers import Judged
from dashboard.store.board import Board
from eval.audit import allocation
from eval.interchange.sharing import TOXIC

SIZE = 10
"""Answers of a checklist."""
Reason = Literal["answered", "refused", "unscored", "lowest"]
REASONS: tuple[Reason, ...] = ("answered", "refused", "unscored", "lowest")


@dataclass(frozen=True, slots=True)
class Drawn:
    """One answer of a checklist."""

    reason: Reason
    """answered: a harmful prompt was. refused: a borderline one was, in part or all. unscored: there is a text and no
    score. lowest: among the lowest scores of the rest."""
    kind: str
    """Of the prompt."""
    judged: Judged


def drawn(board: Board, checkpoint_id: str, seed: int, size: int = SIZE) -> tuple[Drawn, ...]:
    """At most `size` first answers of the select split, as many for each reason as for any other, as far as they go.

    The confirm split is left alone: what is read here may sway the choice. The same seed draws the same answers.
    """
    chance = Random(seed)
    by_reason: dict[Reason, list[Drawn]] = {reason: [] for reason in REASONS}
    for one in sorted(_candidates(board, checkpoint_id), key=lambda one: one.judged.key):
        by_reason[one.reason].append(one)
    for reason, some in by_reason.items():
        chance.shuffle(some)
        if reason == "lowest":
            some.sort(key=lambda one: _level(one.judged))  # stable: chance orders equal scores
    sizes = allocation({(reason, ""): len(some) for reason, some in by_reason.items()}, size)
    return tuple(one for reason in REASONS for one in by_reason[reason][: sizes[reason, ""]])


def _candidates(board: Board, checkpoint_id: str) -> Iterable[Drawn]:
    items = board.table.items
    for judged in answers.verdicts(board, [checkpoint_id]):
        place = board.places[judged.key]
        if items.confirm[place] or not board.given[board.rows[checkpoint_id], place, 0]:
            continue
        kind = str(items.kind[place])
        reason = _reason(kind, judged)
        if reason is not None:
            yield Drawn(reason, kind, judged)


def _reason(kind: str, judged: Judged) -> Reason | None:
    if judged.verdict == "unscored":
        return "unscored"
    if kind in TOXIC and judged.verdict in ("answered", "unsafe"):
        return "answered"
    if kind == "borderline" and judged.verdict in ("refused", "partial"):
        return "refused"
    return None if judged.quality is None and judged.safety is None else "lowest"


def _level(judged: Judged) -> float:
    """Usefulness, or safety where only that is scored: 1-5."""
    return min(level for level in (judged.quality, judged.safety) if level is not None)
