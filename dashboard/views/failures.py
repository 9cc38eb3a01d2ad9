"""The Failures page: what went wrong, by category and checkpoint, down to the answers."""

from __future__ import annotations

from textwrap import wrap

import streamlit as st

from dashboard import charts, faults, markup, pickers, state, trust
from dashboard.answers import items
from dashboard.charts import Cell
from dashboard.faults import FAULTS, FaultCount, FaultRow
from dashboard.frame import Frame, current
from dashboard.inert import csv_bytes, escaped, one_line
from dashboard.pickers import Column, PickCell, PickRow
from dashboard.picks import first_pick
from dashboard.source import ask

COLUMN = 6
"""Letters to a line of a checkpoint's name above its column; a name breaks at its hyphens."""


def page() -> None:
    """Draw the page."""
    frame = current()
    trust.warning(frame)
    word = frame.words
    handles = [c.handle for c in frame.checkpoints]
    with st.container(key="filters", horizontal=True, vertical_alignment="center", gap="small"):
        fault = state.select("fault", word("failures.kind"), list(FAULTS), "over_refusal", lambda f: word(f"fault.{f}"))
        counts = ask(faults.counts, frame.study.study_id, frame.judge.judge_id, fault)
        picked = state.select("pick", word("frontier.point"), handles, first_pick(frame), frame.name)
        categories = list(dict.fromkeys(count.category for count in counts))
        category = state.select(
            "cat", word("compare.category"), ["", *categories], "", lambda c: c or word("compare.all")
        )
    left, right = st.columns([1.25, 1], gap="large")
    with left:
        _matrix(frame, fault, counts, (category, picked))
    with right:
        _list(frame, fault, picked, category)


def _matrix(frame: Frame, fault: str, counts: list[FaultCount], picked: tuple[str, str]) -> None:
    word = frame.words
    st.html(markup.note(word("failures.matrix", fault=word(f"fault.{fault}"))))
    cells = _cells(frame, counts)
    figure = charts.failure_matrix(cells, picked=picked, verdict=FAULTS[fault].tone, colours=frame.colours)
    st.plotly_chart(
        figure,
        key="matrix",
        on_select=_pick_cell,
        selection_mode="points",
        config={"displayModeBar": False},
        alt=word("failures.matrix_alt"),
    )


def _cells(frame: Frame, counts: list[FaultCount]) -> list[Cell]:
    """Squares by category and checkpoint, checkpoints in the frame's order, a row for all categories first."""
    word = frame.words
    found = {(count.category, count.checkpoint_id): count for count in counts}
    totals = {
        c.checkpoint_id: (
            sum(n.failed for n in counts if n.checkpoint_id == c.checkpoint_id),
            sum(n.among for n in counts if n.checkpoint_id == c.checkpoint_id),
        )
        for c in frame.checkpoints
    }
    cells: list[Cell] = []
    for category in ["", *dict.fromkeys(count.category for count in counts)]:
        for checkpoint in frame.checkpoints:
            one = found.get((category, checkpoint.checkpoint_id))
            failed, among = (
                totals[checkpoint.checkpoint_id] if not category else (one.failed, one.among) if one else (0, 0)
            )
            if not among:
                continue
            row, column = category or word("compare.all"), _column(frame, checkpoint.handle)
            hover = f"{escaped(row, 60)}<br>{escaped(frame.name(checkpoint.handle))}: {failed} / {among}"
            cells.append(Cell(escaped(row, 40), column, failed / among, hover, (category, checkpoint.handle)))
    return cells


def _column(frame: Frame, handle: str) -> str:
    checkpoint = frame.by_handle(handle)
    if checkpoint.ratio is None or "@" in handle:
        lines = handle.removeprefix("model-").replace("@", "\n@").splitlines()  # columns are narrow
        return "<br>".join(escaped(part) for line in lines for part in wrap(line, COLUMN, break_long_words=False))
    return f"{checkpoint.ratio:.2f}"


def _pick_cell() -> None:
    points = st.session_state["matrix"].selection.points
    if points and points[0].get("customdata"):
        category, handle = points[0]["customdata"]
        state.remember("cat", str(category))
        state.remember("pick", str(handle))


def _list(frame: Frame, fault: str, picked: str, category: str) -> None:
    word = frame.words
    checkpoint = frame.by_handle(picked)
    study, judge = frame.study.study_id, frame.judge.judge_id
    found = ask(faults.failed_answers, study, judge, fault, checkpoint.checkpoint_id, category)
    st.html(markup.note(word("failures.count", count=len(found), point=frame.name(picked))))
    if not found:
        return
    prompts = {item.key: item.prompt for item in ask(items, study)}
    lines = [
        PickRow(
            row.key.address,
            (
                PickCell(one_line(prompts[row.key]), hint=one_line(prompts[row.key], 300)),
                PickCell(" › ".join(row.category[:2])),
                PickCell(_why(frame, row), row.verdict),
            ),
        )
        for row in found
    ]
    columns = [
        Column(word("compare.prompt")),
        Column(word("compare.category"), "10rem"),
        Column(word("failures.verdict"), "8rem"),
    ]
    if pickers.rows(
        "failed", word("failures.list"), columns, lines, "", height="34rem", keys=False, on_pick=_open_item
    ):
        st.switch_page("views/compare.py", query_params=_compare_address(frame, picked))
    st.html(markup.note(word("failures.open")))
    header = ["set", "item", "kind", "category", "checkpoint", "verdict", "error", "prompt", "answer"]
    rows = [
        [
            r.key.set_name,
            r.key.item_key,
            r.kind,
            " / ".join(r.category),
            picked,
            r.verdict,
            r.error_kind,
            prompts[r.key],
            r.answer,
        ]
        for r in found
    ]
    name = f"{frame.study.name}-{fault}-{picked}.csv"
    st.download_button(word("frontier.download"), csv_bytes(header, rows), name, "text/csv", on_click="ignore")


def _why(frame: Frame, row: FaultRow) -> str:
    if row.verdict == "unscored":
        kind = row.error_kind or "pending"
        return frame.words.maybe(f"error.{kind}", kind)
    return frame.words(f"verdict.{row.verdict}")


def _open_item(address: str) -> None:
    state.keep("item", address)
    for filtering in ("kind", "set", "cat", "q", "diff"):
        state.keep(filtering, "")  # else a filter of an earlier visit could hide the prompt


def _compare_address(frame: Frame, picked: str) -> dict[str, str]:
    points = frame.points
    beside = [points[0].handle, picked, points[-1].handle]
    return {
        "sel": ",".join(dict.fromkeys(beside)),
        "item": state.recall("item"),
        "lang": frame.words.language,
        "study": frame.study.name,
    }


page()
