"""Prompts that flip back and forth along the ratio, and how long answers are along it."""

from __future__ import annotations

import streamlit as st

from dashboard.charts import lines as charts
from dashboard.failures.kinds import BROKEN
from dashboard.failures.list_panel import compare_address, open_item
from dashboard.failures.outcomes import Tokens, token_counts
from dashboard.failures.scene import Scene
from dashboard.failures.wavers import Along, Waver, curve, lengths_along, wavers
from dashboard.page import markup, pickers, state
from dashboard.page.inert import one_line
from dashboard.page.sheets import Column, SheetCell, SheetRow, sheet
from dashboard.store.source import ask

SHOWN = 100
"""Prompts in the table, the most wavering ones."""
AT_ONCE = 16
"""Checkpoints whose lengths one query reads."""
NEITHER = "neither"
"""Tone of a ratio without a majority."""
COLUMNS = 3
"""Small charts side by side."""


def wavering(scene: Scene) -> None:
    """Draw the table of prompts, each with its strip; a click opens Compare where it turns."""
    word = scene.frame.words
    ratios = [column for column in scene.columns if column.ratio is not None]
    st.html(markup.heading(word("wavering.title")))
    found = wavers(scene.looked, scene.prompts, scene.all(), scene.columns) if len(ratios) > 2 else []
    if not found:
        st.html(markup.note(word("wavering.none", fault=scene.name)))
        return
    tone = scene.looked.fault.tone
    st.html(markup.note(word("wavering.count", count=len(found), fault=scene.name)))
    across = word("wavering.across", low=ratios[0].label, high=ratios[-1].label)
    columns = [Column(word("compare.prompt")), Column(across, "46%"), Column(word("wavering.changes"), "4.5rem")]
    lines = [SheetRow(str(one.item), _cells(scene, one)) for one in found[:SHOWN]]
    opened: list[Waver] = []
    if sheet(
        "wavering",
        word("wavering.list"),
        columns,
        lines,
        height="20rem",
        on_pick=lambda item: _open(scene, int(item)),
    ):
        item = int(st.session_state["waver_opened"])
        opened = [one for one in found if one.item == item]
    entries: list[tuple[str, str]] = [(tone, scene.name), ("answered", word("wavering.not_so"))]
    if any(-1 in one.states for one in found[:SHOWN]):
        entries.append((NEITHER, word("wavering.no_majority")))
    st.html(markup.legend(entries, word("wavering.open")))
    for one in opened:
        turns = [ratios[place].nearest_seed(scene.picked.mask_seed).handle for place in one.turns()]
        st.switch_page("views/compare.py", query_params=compare_address(scene, turns))


def _open(scene: Scene, item: int) -> None:
    st.session_state["waver_opened"] = item
    open_item(scene.prompts.keys[item].address)


def _cells(scene: Scene, one: Waver) -> tuple[SheetCell, ...]:
    tones = {1: scene.looked.fault.tone, 0: "answered", -1: NEITHER}
    words = {1: scene.name, 0: scene.frame.words("wavering.not_so"), -1: scene.frame.words("wavering.no_majority")}
    labels = [column.label for column in scene.columns if column.ratio is not None]
    told = ", ".join(f"{label}: {words[state]}" for label, state in zip(labels, one.states, strict=True))
    prompt = scene.prompts.texts[one.item]
    return (
        SheetCell(one_line(prompt), hint=one_line(prompt, 300)),
        SheetCell(told, hint=told, strip=tuple(tones[state] for state in one.states)),
        SheetCell(str(one.changes + 1)),
    )


def lengths(scene: Scene) -> None:
    """Small charts of length and of cut answers along the ratio; nothing where they say nothing about the failure."""
    if scene.looked.fault.name not in ("cut", BROKEN):
        return
    names = [one.checkpoint_id for column in scene.columns for one in column.members if one.ratio is not None]
    tokens: dict[str, Tokens] = {}
    for start in range(0, len(names), AT_ONCE):
        tokens |= ask(token_counts, scene.frame.study.study_id, names[start : start + AT_ONCE])
    found = lengths_along(scene.prompts, scene.all(), tokens, scene.columns)
    if not found:
        return
    word = scene.frame.words
    st.html(markup.heading(word("wavering.lengths")))
    figure = charts.small_multiples(
        [curve(one, _title(scene, one)) for one in found],
        picked_ratio=scene.picked.ratio,
        columns=COLUMNS,
        colours=scene.frame.colours,
    )
    pickers.chart(
        "lengths_chart", word("wavering.lengths"), figure, lambda point: state.remember("pick", str(point[0]))
    )


def _title(scene: Scene, one: Along) -> str:
    return scene.frame.words(f"wavering.{one.unit}", kind=scene.frame.words(f"kind.{one.kind}"))
