"""Choose and export: a pick's numbers, what a person reads of it, its confirm split, the choice, and what leaves."""

from __future__ import annotations

import shlex

import streamlit as st

from dashboard.choosing import checklist, confirming, deciding, leaving
from dashboard.choosing.pick import Pick
from dashboard.page import markup, state, trust
from dashboard.page.frame import Frame, current
from dashboard.people import rater
from dashboard.points.picks import first_pick
from dashboard.store import queries
from dashboard.store.queries import MergeSetting
from dashboard.store.source import ask
from eval.choices import choice_in_force
from eval.rows import ChoiceRow
from merge.mergekit_yaml import CONFIG, INPUTS, command, mergekit_config, to_yaml


def page() -> None:
    """Draw the page."""
    frame = current()
    trust.warning(frame)
    rows = deciding.made(frame.study.study_id)
    chosen = choice_in_force(rows)
    left, right = st.columns([1.3, 1], gap="large")
    with left:
        pick = _pick(frame, chosen)
        st.html(markup.heading(frame.words("export.numbers")) + pick.table("select"))
        read = checklist.draw(pick)
        opening = confirming.draw(pick, read=read)
        deciding.draw(pick, rows, opening)
        deciding.history(frame, rows)
    with right:
        setting = ask(queries.merge_setting, pick.checkpoint.checkpoint_id)
        _config(frame, pick, setting)
        leaving.draw(pick, setting, chosen)


def config_text(setting: MergeSetting) -> str:
    """mergekit.yaml of a judged merge."""
    named = (INPUTS["base"], INPUTS["safe"], INPUTS["useful"])
    return to_yaml(mergekit_config(setting.point, *named, setting.out_dtype, setting.chat_template))


def _pick(frame: Frame, chosen: ChoiceRow | None) -> Pick:
    """The point of the address; without one that which was chosen, else that which is recommended."""
    word = frame.words
    points = [c.handle for c in frame.points]
    own = [c.handle for c in frame.points if chosen is not None and c.checkpoint_id == chosen.checkpoint_id]
    with st.container(key="filters", horizontal=True, vertical_alignment="center"):
        handle = state.select("pick", word("export.point"), points, own[0] if own else first_pick(frame), frame.name)
        who = rater.who(word, "choosing.by")
    return Pick(frame, frame.by_handle(handle), who)


def _config(frame: Frame, pick: Pick, setting: MergeSetting) -> None:
    word = frame.words
    text = config_text(setting)
    st.html(markup.heading(f"{word('export.yaml')} · {pick.name}"))
    if setting.point.way == "mergekit":
        st.html(markup.note(word("export.by_mergekit", method=setting.point.method)))
    st.code(text, language="yaml", wrap_lines=True)
    st.download_button(
        word("export.download_yaml", file=CONFIG),
        text.encode("utf-8"),
        CONFIG,
        "application/yaml",
        key="download_yaml",
        on_click="ignore",
    )
    st.html(markup.heading(word("export.command")))
    st.code(shlex.join(command(setting.point, setting.threads)), language="bash", wrap_lines=True)
    note = word("export.command_note", version=setting.mergekit, threads=setting.threads)
    folders = ", ".join(name.removeprefix("./") for name in INPUTS.values())
    st.html(markup.note(note) + markup.note(word("export.inputs", inputs=folders)))


page()
