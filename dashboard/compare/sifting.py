"""Which prompts the Compare page lists: its filters, as widgets and as a test of one prompt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard.page import state
from dashboard.page.frame import Frame
from dashboard.points.flipping import ADDRESS as FLIP
from dashboard.points.flipping import flip_text, flipped, is_flip
from dashboard.store import answers, queries
from dashboard.store.answers import ItemKey, ItemRow, Judged
from dashboard.store.source import ask, reckon

KINDS = ("borderline", "harmful", "jailbreak", "benign", "choice")
GAPS = ("1", "2", "3")
"""Least distances of scores that the page offers, in points of the scale from 1 to 5."""
Verdicts = Mapping[tuple[ItemKey, str], Judged]
"""By item and checkpoint id."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the filters leave."""

    items: list[ItemRow]
    total: int
    verdicts: Verdicts
    """Of the chosen checkpoints, by the study's first judge."""


def heed_address() -> None:
    """Forget this session's finer filters where an address names checkpoints but none of these filters.

    A link to some prompts must show those, whatever was filtered before. Call it before anything else is recalled.
    """
    if "sel" in st.query_params:
        for name in (FLIP, "gap", "unscored", "dispute"):
            if name not in st.query_params:
                state.keep(name, "")


def sift(frame: Frame, chosen: Sequence[str]) -> Found:
    """Draw the filters into the open container and apply them. chosen: handles of the checkpoints side by side."""
    everything = ask(answers.items, frame.study.study_id)
    ids = [frame.by_handle(handle).checkpoint_id for handle in chosen]
    found = verdicts_of(frame, ids, frame.judge.judge_id)
    placed = _placed(frame, everything)
    text = state.search("q", frame.words("compare.search"), frame.words("compare.search")).casefold()
    said = _saying(frame, ids, text) if text else set()
    different = state.toggle("diff", frame.words("compare.different"))
    flips = _flips(frame, chosen, placed, found, ids)
    gap = _gap(frame)
    unscored = state.toggle("unscored", frame.words("compare.unscored"))
    disputed = _disputed(frame, ids, found)
    kept = [
        item
        for item in placed
        if (text in item.prompt.casefold() or item.prompt_id in said)
        and not (different and len({_verdict(found, item.key, one) for one in ids}) < 2)
        and (flips is None or item.key in flips)
        and not (gap and distance([found.get((item.key, one)) for one in ids]) < float(gap))
        and not (unscored and all(_verdict(found, item.key, one) not in ("", "unscored") for one in ids))
        and (disputed is None or item.key in disputed)
    ]
    return Found(kept, len(everything), found)


def verdicts_of(frame: Frame, ids: Sequence[str], judge_id: str) -> dict[tuple[ItemKey, str], Judged]:
    """A judge's verdicts at some checkpoints."""
    rows = reckon(answers.verdicts, frame.study.study_id, judge_id, list(ids))
    return {(row.key, row.checkpoint_id): row for row in rows}


def distance(some: Sequence[Judged | None]) -> float:
    """How far the best score is above the worst, in points: of usefulness, of safety where that is not scored.

    0 where fewer than two have one.
    """
    for axis in ("quality", "safety"):
        levels = [getattr(one, axis) for one in some if one is not None and getattr(one, axis) is not None]
        if len(levels) > 1:
            return float(max(levels) - min(levels))
    return 0.0


def disputed_keys(by_judge: Sequence[Verdicts]) -> set[ItemKey]:
    """Items with an answer that two judges gave different verdicts; what one of them did not score is no dispute."""
    told: dict[tuple[ItemKey, str], set[str]] = {}
    for verdicts in by_judge:
        for place, judged in verdicts.items():
            if judged.verdict != "unscored":
                told.setdefault(place, set()).add(judged.verdict)
    return {key for (key, _), words in told.items() if len(words) > 1}


def _placed(frame: Frame, everything: Sequence[ItemRow]) -> list[ItemRow]:
    """By kind, set and category."""
    word = frame.words
    sets = sorted({item.key.set_name for item in everything})
    tops = sorted({item.category[0] for item in everything if item.category})
    kind = state.select(
        "kind", word("compare.kind"), ["", *KINDS], "", lambda k: word(f"kind.{k or 'all'}"), hidden=True
    )
    name = state.select(
        "set", word("compare.set"), ["", *sets], "", lambda s: s or word("compare.all_sets"), hidden=True
    )
    top = state.select(
        "cat", word("compare.category"), ["", *tops], "", lambda c: c or word("compare.all"), hidden=True
    )
    return [
        item
        for item in everything
        if kind in ("", item.kind) and name in ("", item.key.set_name) and (not top or item.category[:1] == (top,))
    ]


def _saying(frame: Frame, ids: Sequence[str], text: str) -> set[str]:
    return {name for one in ids for name in ask(answers.saying, frame.study.study_id, one, text)}


def _verdict(verdicts: Verdicts, key: ItemKey, checkpoint_id: str) -> str:
    judged = verdicts.get((key, checkpoint_id))
    return "" if judged is None else judged.verdict


def _change(verdicts: Verdicts, key: ItemKey, ids: Sequence[str]) -> str:
    """`answered-refused`: from the first checkpoint to the second; empty where nothing changes."""
    first, second = (_verdict(verdicts, key, one) for one in ids[:2])
    return f"{first}-{second}" if first and second and first != second else ""


def _flips(
    frame: Frame, chosen: Sequence[str], placed: Sequence[ItemRow], verdicts: Verdicts, ids: Sequence[str]
) -> Collection[ItemKey] | None:
    """Items whose verdict changes as asked for, among the changes that there are; None where nothing is asked for.

    A link of the Frontier page may ask for a flip by a rate instead (`dashboard.points.flipping`).
    """
    if len(chosen) < 2:
        return None
    word = frame.words
    by_change: dict[str, set[ItemKey]] = {}
    for item in placed:
        by_change.setdefault(_change(verdicts, item.key, ids), set()).add(item.key)
    by_change.pop("", None)

    def shown(change: str) -> str:
        if not change:
            return word("compare.any_change")
        if is_flip(change):
            return flip_text(frame, change)
        first, _, second = change.partition("-")
        words = {"first": word(f"verdict.{first}"), "second": word(f"verdict.{second}")}
        return word("compare.change", count=len(by_change[change]), **words)

    names = {"first": frame.name(chosen[0]), "second": frame.name(chosen[1])}
    changes = sorted(by_change, key=lambda change: -len(by_change[change]))
    linked = [one for one in [state.recall(FLIP)] if is_flip(one)]
    wanted = state.select(FLIP, word("compare.from_to", **names), ["", *changes, *linked], "", shown, hidden=True)
    if is_flip(wanted):
        return flipped(frame, ids, wanted)
    return by_change[wanted] if wanted else None


def _gap(frame: Frame) -> str:
    word = frame.words

    def shown(gap: str) -> str:
        return word("compare.gap", points=gap) if gap else word("compare.any_gap")

    return state.select("gap", word("compare.gaps"), ["", *GAPS], "", shown, hidden=True)


def _disputed(frame: Frame, ids: Sequence[str], verdicts: Verdicts) -> Collection[ItemKey] | None:
    """Items on which the study's judges differ; None where that is not asked for or it has one judge."""
    judges = ask(queries.judges, frame.study.study_id)
    if len(judges) < 2 or not state.toggle("dispute", frame.words("compare.dispute")):
        return None
    others = [verdicts_of(frame, ids, judge.judge_id) for judge in judges[1:]]
    return disputed_keys([verdicts, *others])
