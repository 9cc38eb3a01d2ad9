"""The failed answers of the picked checkpoint: to be opened, ticked and downloaded."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from dashboard.failures.scene import Scene
from dashboard.failures.slices_panel import slice_name
from dashboard.failures.slicing import Slice
from dashboard.page import markup, state
from dashboard.page.inert import csv_bytes, file_name, one_line
from dashboard.page.sheets import Column, SheetCell, SheetRow, sheet
from dashboard.people import sharing
from dashboard.people.sharing import Shared
from dashboard.store.answers import bodies
from dashboard.store.board import VERDICTS, ItemKey, Verdict
from dashboard.store.source import ask

LENGTH = 300
"""Failures that the list shows at most."""


@dataclass(frozen=True, slots=True)
class Row:
    """One failed answer."""

    item: int
    """Number of the item."""
    key: ItemKey
    sample: int
    verdict: Verdict
    error: str
    """Empty where it is scored."""

    @property
    def id(self) -> str:
        """Unique in the list."""
        return f"{self.key.address}#{self.sample}"


def rows_of(scene: Scene, chosen: Slice | None) -> list[Row]:
    """All failures of the picked checkpoint within category and slice, by set and key."""
    some = scene.mine
    failed = scene.looked.failed(some, scene.prompts)
    if scene.category:
        tops = np.array([(one or ("",))[0] == scene.category for one in scene.prompts.categories], dtype=np.bool_)
        failed &= tops[some.item]
    if chosen is not None:
        failed &= chosen.mask[some.item]
    return [
        Row(
            item := int(some.item[place]),
            scene.prompts.keys[item],
            int(some.sample[place]),
            VERDICTS[some.verdict[place]],
            some.errors[some.error[place]] if some.error[place] >= 0 else "",
        )
        for place in np.flatnonzero(failed)
    ]


def failures(scene: Scene, chosen: Slice | None) -> tuple[list[Row], bool]:
    """Draw the list; returns the rows to export, and whether they were ticked one by one."""
    word = scene.frame.words
    everything = rows_of(scene, chosen)
    shown = everything[:LENGTH]
    st.html(markup.heading(word("failures.count", count=f"{len(everything):,}", point=_point(scene))))
    _narrowed(scene, chosen)
    if not shown:
        st.html(markup.note(word("failures.nothing")))
        return [], False
    ticks = f"ticked:{scene.frame.study.name}:{scene.looked.fault.name}:{scene.picked.handle}"
    ticked = [one for one in st.session_state.get(ticks, []) if one in {row.id for row in shown}]
    opened = sheet(
        "failed",
        word("failures.list"),
        [
            Column(word("compare.prompt")),
            Column(word("compare.category"), "10rem"),
            Column(word("failures.verdict"), "7.4rem"),
        ],
        [SheetRow(row.id, _cells(scene, row)) for row in shown],
        height="24rem",
        on_pick=lambda one: open_item(one.rpartition("#")[0]),
        ticks=word("failures.tick") if scene.looked.fault.exports else "",
        ticked=ticked,
        on_tick=lambda some: st.session_state.update({ticks: some}),
    )
    if opened:
        points = scene.frame.points
        beside = [points[0].handle, scene.picked.handle, points[-1].handle]
        st.switch_page("views/compare.py", query_params=compare_address(scene, beside))
    _foot(scene, shown, len(everything))
    return [row for row in shown if row.id in ticked] or shown, bool(ticked)


def _point(scene: Scene) -> str:
    return scene.frame.name(scene.picked.handle)


def _narrowed(scene: Scene, chosen: Slice | None) -> None:
    """What the list keeps to, each with a button that lets it go."""
    word = scene.frame.words
    kept = {"cat": scene.category, "slice": "" if chosen is None else slice_name(scene, chosen)}
    if not any(kept.values()):
        return
    with st.container(key="narrowed", horizontal=True, vertical_alignment="center", gap="small"):
        for name, text in kept.items():
            if text:
                st.html(markup.note(word(f"failures.only_{name}", what=one_line(text, 60)), "plain"))
                st.button(word("failures.widen"), key=f"widen_{name}", type="tertiary", on_click=_widen, args=(name,))


def _widen(name: str) -> None:
    state.remember(name, "")


def _cells(scene: Scene, row: Row) -> tuple[SheetCell, ...]:
    prompt, category = scene.prompts.texts[row.item], scene.prompts.categories[row.item]
    return (
        SheetCell(one_line(prompt), hint=one_line(prompt, 300)),
        SheetCell(one_line(" › ".join(category[:2])), hint=one_line(" › ".join(category), 300)),
        SheetCell(_why(scene, row), row.verdict),
    )


def _why(scene: Scene, row: Row) -> str:
    word = scene.frame.words
    if row.verdict == "unscored":
        return one_line(word.maybe(f"error.{row.error}", row.error), 40)
    return word(f"verdict.{row.verdict}")


def open_item(address: str) -> None:
    """Have the Compare page show this prompt, whatever it was filtered by before."""
    state.keep("item", address)
    for filtering in ("kind", "set", "cat", "q", "diff"):
        state.keep(filtering, "")


def compare_address(scene: Scene, beside: Sequence[str]) -> dict[str, str]:
    """Query parameters of the Compare page with the prompt kept by `open_item`."""
    return {
        "sel": ",".join(dict.fromkeys(beside)),
        "item": state.recall("item"),
        "lang": scene.frame.words.language,
        "study": scene.frame.study.name,
    }


def _foot(scene: Scene, shown: Sequence[Row], total: int) -> None:
    word = scene.frame.words
    with st.container(key="list_foot", horizontal=True, vertical_alignment="center", gap="small"):
        fault, handle = scene.looked.fault.name, scene.picked.handle
        name = file_name(f"{scene.frame.study.name}-{fault}-{handle}.csv")
        made = functools.partial(_csv, scene, shown)
        st.download_button(word("frontier.download"), made, name, "text/csv", on_click="ignore")
        told = word("failures.first", shown=len(shown), total=f"{total:,}") if total > len(shown) else ""
        st.html(markup.note(f"{word('failures.open')} {told}".strip()))
    may = _may_leave(scene)
    if held := sum(row.key in may.closed or row.key in may.toxic or row.verdict == "unsafe" for row in shown):
        st.html(markup.note(word("sharing.held", count=held)))


def _may_leave(scene: Scene) -> Shared:
    return ask(sharing.shared, scene.frame.study.study_id, sharing.closed_by_recipe(scene.frame.study.name))


def _csv(scene: Scene, shown: Sequence[Row]) -> bytes:
    return csv_bytes(*table(scene, shown))


def table(scene: Scene, shown: Sequence[Row]) -> tuple[list[str], list[list[object]]]:
    """Header and rows of the download, without texts that may not leave the machine."""
    study, one = scene.frame.study.study_id, scene.picked.checkpoint_id
    may = _may_leave(scene)
    texts = ask(bodies, study, one, [(row.key, row.sample) for row in shown])
    unsafe = ask(sharing.unsafe_answers, list(texts.values()))
    header = ["set", "item", "kind", "category", "checkpoint", "sample", "verdict", "error", "prompt", "answer"]
    rows: list[list[object]] = [
        [
            row.key.set_name,
            row.key.item_key,
            str(scene.prompts.kind[row.item]),
            may.category(row.key, scene.prompts.categories[row.item]),
            scene.picked.handle,
            row.sample,
            row.verdict,
            row.error,
            may.prompt(row.key, scene.prompts.texts[row.item]),
            may.answer(row.key, texts.get((row.key, row.sample)), unsafe),
        ]
        for row in shown
    ]
    return header, rows
