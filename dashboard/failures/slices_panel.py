"""Slices of prompts in which the picked checkpoint fails more often than elsewhere."""

from __future__ import annotations

import streamlit as st

from dashboard.failures.scene import Scene
from dashboard.failures.slice_rates import slice_rates
from dashboard.failures.slicing import LEAST, Slice
from dashboard.page import markup, rounding, state
from dashboard.page.inert import one_line
from dashboard.page.sheets import Column, SheetCell, SheetRow, sheet
from dashboard.store.source import reckon
from eval.slices import SliceRate

CLEAR = 0.05
"""Chance of any such find below which a slice stands out."""
SHOWN = 25
"""Slices in the table, those with the strongest evidence."""


def slices(scene: Scene) -> Slice | None:
    """Draw the table; returns the slice that the list is to keep to."""
    word = scene.frame.words
    st.html(markup.heading(word("slices.title", point=scene.frame.name(scene.picked.handle))))
    others = [one.handle for one in scene.frame.checkpoints if one != scene.picked]
    with st.container(key="pickers", horizontal=True):
        against = state.select(
            "against",
            word("slices.against"),
            ["", *others],
            "",
            lambda handle: scene.frame.name(handle) if handle else word("slices.rest"),
        )
    rates = _rates(scene, scene.frame.by_handle(against).checkpoint_id if against else None)
    by_address = {one.address: one for one, _ in rates}
    chosen = by_address.get(state.one_of("slice", ["", *by_address], ""))
    worse = [(one, rate) for one, rate in rates if _is_worse(rate)]
    worse.sort(key=lambda pair: (pair[1].single_p, pair[0].address))
    if not worse:
        st.html(markup.note(word("slices.none", count=len(rates), least=LEAST)))
        return chosen
    other = scene.frame.name(against) if against else word("slices.others")
    _table(scene, worse[:SHOWN], one_line(other, 24), chosen)
    clear = sum(rate.p < CLEAR for _, rate in worse)
    told = word("slices.clear", count=clear) if clear else word("slices.chance")
    method = word("slices.method_baseline" if against else "slices.method_rest", count=len(rates), least=LEAST)
    st.html(markup.note(f"{told} {method}"))
    return chosen


def _rates(scene: Scene, baseline: str | None) -> list[tuple[Slice, SliceRate]]:
    study, judge = scene.frame.study.study_id, scene.judge.judge_id
    return reckon(slice_rates, study, judge, scene.prompts, scene.looked, scene.picked.checkpoint_id, baseline)


def _is_worse(rate: SliceRate) -> bool:
    own, other = rate.rate.value, rate.other.value
    return own is not None and other is not None and own > other


def _table(scene: Scene, worse: list[tuple[Slice, SliceRate]], other: str, chosen: Slice | None) -> None:
    word = scene.frame.words
    columns = [
        Column(word("slices.slice")),
        Column(word("slices.prompts"), "4.2rem"),
        Column(word("slices.rate"), "8.2rem"),
        Column(other, "4.6rem"),
        Column("p", "3.8rem"),
    ]
    lines = [SheetRow(one.address, _cells(scene, one, rate)) for one, rate in worse]
    sheet(
        "slices",
        word("slices.list"),
        columns,
        lines,
        height="24rem",
        selected=chosen.address if chosen else "",
        on_pick=_choose,
    )


def _cells(scene: Scene, one: Slice, rate: SliceRate) -> tuple[SheetCell, ...]:
    name = slice_name(scene, one)
    short = one.names[-1] if one.sort == "category" else name
    own, other = (rounding.estimate(e.value, e.low, e.high, percent=True) for e in (rate.rate, rate.other))
    alone = scene.frame.words("slices.single_p", p=rounding.p_value(rate.single_p))
    hint = scene.frame.words("slices.hint", n=rate.other.n, interval=other.interval)
    return (
        SheetCell(one_line(short), hint=one_line(name, 300)),
        SheetCell(f"{rate.rate.n:,}"),
        SheetCell(f"{own.value} ({own.interval})"),
        SheetCell(other.value, hint=hint),
        SheetCell(rounding.p_value(rate.p), hint=alone),
    )


def slice_name(scene: Scene, one: Slice) -> str:
    """For readers; words and categories are as others wrote them."""
    word = scene.frame.words
    match one.sort:
        case "category":
            return " › ".join(one.names)
        case "length":
            return word("slices.length", range="–".join(dict.fromkeys(one.names)))
        case _:
            return word("slices.word", words=", ".join(one.names))


def _choose(address: str) -> None:
    state.remember("slice", "" if state.recall("slice") == address else address)
