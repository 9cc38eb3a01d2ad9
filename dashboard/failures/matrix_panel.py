"""The matrix of categories by ratios and references, with squares that can be clicked."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard.charts import failures as charts_failures
from dashboard.charts.failures import Heading, Square, row_name
from dashboard.failures.grid import Tally, tallies
from dashboard.failures.scene import Scene
from dashboard.page import markup, pickers, state
from dashboard.page.inert import escaped, one_line


def matrix(scene: Scene) -> None:
    """Draw it; a click picks checkpoint and category."""
    word = scene.frame.words
    note = word("failures.matrix", fault=scene.name)
    together = max((len(column.members) for column in scene.columns), default=1)
    st.html(markup.note(f"{note} {word('failures.together', seeds=together)}" if together > 1 else note))
    found = tallies(scene.looked, scene.prompts, scene.all(), scene.columns)
    if not found:
        st.html(markup.note(word("failures.cannot", fault=scene.name)))
        return
    headings = [Heading(_heading(column.label), column.ratio is not None) for column in scene.columns]
    figure = charts_failures.failure_matrix(
        [_square(scene, tally) for tally in found],
        headings,
        verdict=scene.looked.fault.tone,
        colours=scene.frame.colours,
    )
    pickers.chart("matrix", word("failures.matrix_alt"), figure, _pick)


def _square(scene: Scene, tally: Tally) -> Square:
    word, frame = scene.frame.words, scene.frame
    row = row_name(one_line(tally.category)) if tally.category else word("compare.all")
    meant = tally.column.nearest_seed(scene.picked.mask_seed)
    lines = [f"{escaped(frame.name(one.checkpoint.handle))}: {one.failed} / {one.among}" for one in tally.apart]
    return Square(
        row=escaped(row),
        column=scene.columns.index(tally.column),
        share=tally.failed / tally.among,
        hover="<br>".join([escaped(one_line(tally.category)) or escaped(row), *lines]),
        pick=(tally.category, meant.handle),
        framed=scene.picked in tally.column.members and tally.category == scene.category,
    )


def _heading(label: str) -> str:
    shown = label.removeprefix("model-")
    return escaped(shown if len(shown) <= charts_failures.NAME else shown[: charts_failures.NAME - 1] + "…")


def _pick(cell: list[Any]) -> None:
    category, handle = cell
    state.remember("cat", str(category))
    state.remember("pick", str(handle))
