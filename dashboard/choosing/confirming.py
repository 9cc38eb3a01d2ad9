"""The confirm split of a point: closed until somebody opens it, which is written down before it is shown."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from dashboard.choosing.pick import Pick
from dashboard.page import markup
from dashboard.page.inert import one_line
from dashboard.people import readers
from dashboard.store.place import store_path
from eval.evidence import Opening, note_opening, openings
from mergescope.ground.errors import MergescopeError


def draw(pick: Pick, *, read: bool) -> Opening | None:
    """Draw it; returns the look at these numbers where there was one. read: whether the checklist is done."""
    word = pick.frame.words
    st.html(markup.heading(word("choosing.confirm")))
    try:
        log = openings(store_path())
    except MergescopeError as error:
        st.html(markup.alert(error.line()))
        return None
    opening = next((one for one in log if one.id == _wanted(pick).id), None)
    if opening is None:
        st.html(markup.note(word("choosing.confirm_closed")))
        disabled = not read or not pick.who
        if st.button(word("choosing.open", point=pick.name), key="open_confirm", disabled=disabled):
            _open(pick)
    else:
        st.html(pick.table("confirm"))
        st.html(markup.note(word("choosing.opened", who=one_line(opening.who), at=minute(opening.at))))
    if others := looked_at(pick, log):
        names = ", ".join(others)
        st.html(markup.note(word("choosing.opened_too", points=names)))
    return opening


def looked_at(pick: Pick, log: list[Opening]) -> list[str]:
    """Names of the study's other points whose confirm split was opened, in the order of the first looks."""
    mine, own = pick.frame.study.study_id, pick.checkpoint.checkpoint_id
    ids = dict.fromkeys(one.checkpoint_id for one in log if one.study_id == mine and one.checkpoint_id != own)
    handles = {c.checkpoint_id: c.handle for c in pick.frame.checkpoints}
    return [pick.frame.name(handles[name]) for name in ids if name in handles]


def minute(at: datetime) -> str:
    """A time in UTC, with or without an offset."""
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _wanted(pick: Pick) -> Opening:
    return Opening(
        study_id=pick.frame.study.study_id,
        checkpoint_id=pick.checkpoint.checkpoint_id,
        judge_id=pick.frame.judge.judge_id,
        select_sha256=pick.select_sha256,
        who=pick.who or "—",  # nobody can open without a name; the id leaves it out
        at=datetime.now(UTC),
    )


def _open(pick: Pick) -> None:
    try:
        readers.require_editor()
        note_opening(store_path(), _wanted(pick))
    except MergescopeError as error:
        st.html(markup.alert(error.line()))
        return
    st.rerun()
