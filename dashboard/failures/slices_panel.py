"""Slices of prompts in which the picked checkpoint fails more often than elsewhere."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import streamlit as st

from dashboard.failures.outcomes import Outcomes, Prompts
from dashboard.failures.scene import Scene
from dashboard.failures.slicing import LEAST, Slice, slices_of
from dashboard.failures.tables import FAILED, failure_table
from dashboard.page import markup, rounding, state
from dashboard.page.inert import one_line
from dashboard.page.pickers import Column
from dashboard.page.sheets import SheetCell, SheetRow, sheet
from dashboard.store.board import Mask
from eval.slices import SliceRate, slices_against, slices_against_rest

CLEAR = 0.05
"""Chance of any such find below which a slice stands out."""
SHOWN = 25
"""Slices in the table, those with the strongest evidence."""


def chosen_slice(slices: list[Slice]) -> Slice | None:
    """The slice of the address; None where there is none."""
    addresses = {one.address: one for one in slices}
    return addresses.get(state.one_of("slice", ["", *addresses], ""))


def slices(scene: Scene) -> Slice | None:
    """Draw the table; returns the slice that the list is to keep to."""
    word = scene.frame.words
    could_fail = scene.could_fail()
    asked = (hash(scene.prompts.texts), hash(scene.prompts.categories), could_fail.tobytes())
    found = _slices(asked, scene.prompts, could_fail)
    chosen = chosen_slice(found)
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
    compared = [scene.mine, *([scene.of(scene.frame.by_handle(against))] if against else [])]
    answers = tuple(_told(scene, one) for one in compared)
    rates = _rates((asked, answers), scene, found, against)
    worse = [(one, rate) for one, rate in zip(found, rates, strict=True) if _is_worse(rate)]
    worse.sort(key=lambda pair: (pair[1].single_p, pair[0].address))
    if not worse:
        st.html(markup.note(word("slices.none", count=len(found), least=LEAST)))
        return chosen
    other = scene.frame.name(against) if against else word("slices.others")
    _table(scene, worse[:SHOWN], one_line(other, 24), chosen)
    clear = sum(rate.p < CLEAR for _, rate in worse)
    told = word("slices.clear", count=clear) if clear else word("slices.chance")
    method = word("slices.method_baseline" if against else "slices.method_rest", count=len(found), least=LEAST)
    st.html(markup.note(f"{told} {method}"))
    return chosen


@st.cache_data(max_entries=32, show_spinner=False)
def _slices(key: Hashable, _prompts: Prompts, _could_fail: Mask) -> list[Slice]:
    del key  # it tells cache entries apart; words of thousands of prompts take a tenth of a second
    return slices_of(_prompts, _could_fail)


def _told(scene: Scene, some: Outcomes) -> bytes:
    """What the rates of one checkpoint rest on, as a key."""
    parts = (some.item, some.sample, scene.looked.among(some, scene.prompts), scene.looked.failed(some, scene.prompts))
    return b"|".join(part.tobytes() for part in parts)


@st.cache_data(max_entries=64, show_spinner=False)
def _rates(key: Hashable, _scene: Scene, _found: list[Slice], against: str) -> list[SliceRate]:
    del key
    scene, found = _scene, _found
    masks: list[Mask] = [one.mask for one in found]
    mine = {scene.picked.checkpoint_id: scene.mine}
    if not against:
        table = failure_table(scene.looked, scene.prompts, mine)
        return slices_against_rest(table.where(scene.could_fail()), FAILED, *_of(scene, masks))
    baseline = scene.frame.by_handle(against)
    table = failure_table(scene.looked, scene.prompts, mine | {baseline.checkpoint_id: scene.of(baseline)})
    one, inside = _of(scene, masks)
    return slices_against(table.where(scene.could_fail()), FAILED, one, baseline.checkpoint_id, inside)


def _of(scene: Scene, masks: list[Mask]) -> tuple[str, list[Mask]]:
    among = scene.could_fail()
    return scene.picked.checkpoint_id, [np.asarray(mask[among]) for mask in masks]


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
    hint = scene.frame.words("slices.hint", n=rate.other.n, interval=other.interval)
    return (
        SheetCell(one_line(short), hint=one_line(name, 300)),
        SheetCell(f"{rate.rate.n:,}"),
        SheetCell(f"{own.value} ({own.interval})"),
        SheetCell(other.value, hint=hint),
        SheetCell(_p(rate.p), hint=scene.frame.words("slices.single_p", p=_p(rate.single_p))),
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


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
