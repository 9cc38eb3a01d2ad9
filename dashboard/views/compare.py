"""The Compare page: what up to four checkpoints answered, prompt by prompt."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import streamlit as st

from dashboard.charts.colours import VERDICT_FILL
from dashboard.compare.cards import answered, card, in_words
from dashboard.compare.sifting import Found, heed_address, sift
from dashboard.page import markup, pickers, state, trust
from dashboard.page.frame import Frame, current
from dashboard.page.inert import csv_bytes, escaped, file_name, one_line
from dashboard.page.pickers import StripCell
from dashboard.page.sheets import Column, SheetCell, SheetRow, sheet
from dashboard.page.steps import neighbours
from dashboard.people import rater, rating, sharing
from dashboard.people.rating import Rated
from dashboard.people.sharing import Shared
from dashboard.points.picks import first_pick
from dashboard.store import answers
from dashboard.store.answers import ItemRow, Judged
from dashboard.store.queries import Checkpoint
from dashboard.store.source import ask, reckon

MOST = 4
"""Checkpoints side by side."""
SHOWN = 300
"""Rows of the table of prompts."""


def page() -> None:
    """Draw the page."""
    frame = current()
    trust.warning(frame)
    heed_address()
    word = frame.words
    handles = [c.handle for c in frame.checkpoints]
    with st.container(key="filters", horizontal=True, vertical_alignment="center", gap="small"):
        chosen = state.several(
            "sel", word("compare.checkpoints"), handles, _first_choice(frame), frame.name, MOST, word("compare.choose")
        )
        found = sift(frame, chosen)
    left, right = st.columns([1, 1.9] if len(chosen) < MOST else [1.25, 1.65], gap="medium")
    with left:
        item = _table(frame, found, chosen)
    with right:
        if item is None:
            st.html(markup.note(word("compare.nothing")))
        else:
            _item(frame, item, chosen, found.items)


def _first_choice(frame: Frame) -> list[str]:
    points = [c.handle for c in frame.points]
    pick = state.one_of("pick", [c.handle for c in frame.checkpoints], first_pick(frame))
    return list(dict.fromkeys([points[0], pick, points[-1]]))


def _table(frame: Frame, found: Found, chosen: list[str]) -> ItemRow | None:
    """The prompts that pass the filters; returns the one that is open."""
    word = frame.words
    verdicts = found.verdicts
    by_address = {item.key.address: item for item in found.items}
    st.html(markup.note(word("compare.count", shown=len(found.items), total=found.total)))
    if not found.items:
        return None
    selected = state.one_of("item", list(by_address), next(iter(by_address)))
    lines = [
        SheetRow(
            item.key.address,
            (
                SheetCell(one_line(item.prompt), hint=one_line(item.prompt, 300)),
                *(_chip(frame, verdicts.get((item.key, frame.by_handle(h).checkpoint_id))) for h in chosen),
            ),
        )
        for item in _around(found.items, by_address[selected])
    ]
    width = "4.8rem" if len(chosen) < MOST else "4.1rem"
    columns = [Column(word("compare.prompt")), *(Column(_short(frame, handle), width) for handle in chosen)]
    sheet(
        "prompts",
        word("compare.table"),
        columns,
        lines,
        selected=selected,
        height="34rem",
        keys=True,
        on_pick=lambda item: state.remember("item", item),
    )
    st.html(markup.note(word("compare.keys")))
    made = functools.partial(_csv, frame, found, chosen)
    name = file_name(f"{frame.study.name}-compare.csv")
    st.download_button(word("frontier.download"), made, name, "text/csv", on_click="ignore")
    closed = _may_leave(frame).closed
    if held := sum(item.key in closed for item in found.items):
        st.html(markup.note(word("sharing.held", count=held)))
    return by_address[selected]


def _around(found: list[ItemRow], selected: ItemRow) -> list[ItemRow]:
    """At most SHOWN rows, the selected one among them."""
    start = max(0, min(found.index(selected) - SHOWN // 2, len(found) - SHOWN))
    return found[start : start + SHOWN]


def _short(frame: Frame, handle: str) -> str:
    checkpoint = frame.by_handle(handle)
    return handle if checkpoint.ratio is None else f"{checkpoint.ratio:.2f}"


def _chip(frame: Frame, judged: Judged | None) -> SheetCell:
    if judged is None:
        return SheetCell("—")
    words = in_words(frame, judged)
    if judged.verdict == "answered" and judged.quality is not None:
        return SheetCell(f"{judged.quality:.1f}", "answered", words)
    return SheetCell(frame.words(f"chip.{judged.verdict}"), judged.verdict, words)


def _csv(frame: Frame, found: Found, chosen: list[str]) -> bytes:
    ids = {handle: frame.by_handle(handle).checkpoint_id for handle in chosen}
    may = _may_leave(frame)
    rows: list[list[object]] = [
        [
            item.key.set_name,
            item.key.item_key,
            item.kind,
            may.category(item.key, item.category),
            item.split,
            may.prompt(item.key, item.prompt),
            *(judged.verdict if (judged := found.verdicts.get((item.key, one))) else "" for one in ids.values()),
        ]
        for item in found.items
    ]
    return csv_bytes(["set", "item", "kind", "category", "split", "prompt", *chosen], rows)


def _may_leave(frame: Frame) -> Shared:
    return ask(sharing.shared, frame.study.study_id, sharing.closed_by_recipe(frame.study.name))


def _item(frame: Frame, item: ItemRow, chosen: list[str], found: list[ItemRow]) -> None:
    _place(frame, item, found)
    st.html(f'<div class="ms-prompt">{escaped(item.prompt, 4000)}</div>')
    judged = {
        row.checkpoint_id: row for row in reckon(answers.along, frame.study.study_id, frame.judge.judge_id, item.key)
    }
    scored = _along(frame, judged, chosen)
    shown = answered(frame, item, judged, chosen)
    first = shown.get(chosen[0])
    cards = [card(frame, item, handle, shown.get(handle), None if handle == chosen[0] else first) for handle in chosen]
    st.html(f'<div class="ms-cards">{"".join(cards)}</div>')
    if len(chosen) > 1:
        st.html(markup.note(frame.words("compare.marked", first=frame.name(chosen[0]))))
    rated = [
        Rated(one.said.prompt_id, one.said.text_id, frame.name(handle))
        for handle, one in shown.items()
        if one.said.text_id is not None
    ]
    if rated and item.kind in rating.AXES:
        _verdicts_of_people(frame, item, rated, seen_judge=scored)


def _place(frame: Frame, item: ItemRow, found: list[ItemRow]) -> None:
    """Where the prompt stands, and buttons to its neighbours."""
    word = frame.words
    number = found.index(item)
    place = word("compare.place", index=number + 1, total=len(found))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.html(markup.note(" › ".join([word(f"kind.{item.kind}"), *item.category, item.key.set_name, place])))
        neighbours(word, "item", number, len(found), lambda n: found[n].key.address)


def _verdicts_of_people(frame: Frame, item: ItemRow, rated: list[Rated], *, seen_judge: bool) -> None:
    word = frame.words
    with st.container(key="raters", horizontal=True, vertical_alignment="center", gap="small"):
        st.html(markup.heading(word("rating.title")))
        who = rater.who(word, "rating.by")
        st.html(markup.note(word("rating.keys") if who else word("rating.by_missing")))
    rows = rating.said(frame.study.study_id)
    rating.buttons(word, item.kind, rated, rows, who, blind=False, seen_judge=seen_judge)


def _along(frame: Frame, rows: Mapping[str, Judged], chosen: list[str]) -> bool:
    """The ratio strip of one item; returns whether it shows a judge's word. rows: by checkpoint id."""
    word = frame.words
    cells = [
        StripCell(
            c.handle,
            _short(frame, c.handle),
            row.verdict,
            in_words(frame, row),
            shown=c.handle in chosen,
            run=_run(frame, c),
        )
        for c in frame.checkpoints
        if (row := rows.get(c.checkpoint_id))
    ]
    st.html(markup.note(word("compare.along")))
    pickers.strip("along", cells, lambda handle: _swap(chosen, handle))
    tones = [tone for tone in VERDICT_FILL if any(c.tone == tone for c in cells)]
    refusing = [c for c in frame.points if (row := rows.get(c.checkpoint_id)) and row.verdict in ("partial", "refused")]
    rest = word("compare.first_refusal", point=frame.name(refusing[0].handle)) if refusing else ""
    st.html(markup.legend([(tone, word(f"verdict.{tone}")) for tone in tones], rest))
    return any(row.verdict != "unscored" for row in rows.values())


def _run(frame: Frame, checkpoint: Checkpoint) -> str:
    """Which row of the strip a checkpoint stands in: one for each mask seed, and one for the references."""
    if checkpoint.ratio is None:
        return frame.words("compare.references")
    several = len({point.mask_seed for point in frame.points}) > 1
    return f"{frame.words('failures.seed')} {checkpoint.mask_seed}" if several else frame.words("compare.ratio")


def _swap(chosen: list[str], handle: str) -> None:
    """Put a checkpoint beside the others, or take it away; the last one makes room where there is none."""
    kept = [one for one in chosen if one != handle]
    if len(kept) == len(chosen):
        kept = [*kept[: MOST - 1], handle]
    if kept:
        state.remember("sel", ",".join(kept))


page()
