"""Choosing a point: name, rule and note go into the inbox with the hash of what they rest on; and earlier choices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from dashboard.choosing import checklist
from dashboard.choosing.confirming import minute
from dashboard.choosing.pick import Pick
from dashboard.page import markup
from dashboard.page.frame import Frame
from dashboard.page.inert import escaped, one_line
from dashboard.people import inbox, readers
from dashboard.points import picks
from dashboard.store.place import store_path
from dashboard.store.source import ask, shown_state
from eval.choices import choice_in_force, choices
from eval.evidence import Opening, keep_evidence, openings
from eval.inbox.slips import LONGEST_NOTE, ChoiceSlip
from eval.inbox.taking import choice_row
from eval.rows import ChoiceRow
from mergescope.ground.errors import MergescopeError

LONGEST_RULE = 1_000
"""Characters of a rule as it is typed."""
EVIDENCE = 1
"""Version of the evidence's form."""


def made(study_id: str) -> list[ChoiceRow]:
    """All choices of a study, those that wait in the inbox too, oldest first."""
    rows = ask(choices, study_id)
    return [*rows, *(choice_row(slip) for slip in _waiting(rows) if slip.study_id == study_id)]


def draw(pick: Pick, rows: Sequence[ChoiceRow], opening: Opening | None) -> None:
    """Draw the form. rows: the study's choices. opening: the look at the confirm split; None: nobody can choose yet."""
    word = pick.frame.words
    current = choice_in_force(rows)
    st.html(markup.heading(word("choosing.choose")))
    rule = st.text_input(
        word("choosing.rule"), _rule(pick.frame), key=f"rule:{pick.checkpoint.checkpoint_id}", max_chars=LONGEST_RULE
    )
    note = st.text_area(
        word("choosing.note"), key=f"note:{pick.checkpoint.checkpoint_id}", max_chars=LONGEST_NOTE, height=80
    )
    label = word("choosing.choose_point", point=pick.name)
    if st.button(label, key="choose", type="primary", disabled=opening is None or not pick.who) and opening:
        _choose(pick, current, opening, rule.strip(), note.strip())
    if opening is None:
        st.html(markup.note(word("choosing.not_yet")))


def history(frame: Frame, rows: Sequence[ChoiceRow]) -> None:
    """The study's choices, newest first."""
    word = frame.words
    if not rows:
        return
    current = choice_in_force(rows)
    handles = {c.checkpoint_id: c.handle for c in frame.checkpoints}
    waiting = {slip.id for slip in _waiting(ask(choices, frame.study.study_id))}
    st.html(markup.heading(word("choosing.history")))
    parts = []
    for row in reversed(rows):
        handle = handles.get(row.checkpoint_id)
        state = "in_force" if row is current else "superseded"
        told = [word(f"choosing.{state}")] + [word("choosing.waiting")] * (row.choice_id in waiting)
        name = frame.name(handle) if handle else row.checkpoint_id
        parts.append(_entry(name, row, " · ".join(told), in_force=row is current))
    st.html("".join(parts))


def _waiting(rows: Sequence[ChoiceRow]) -> list[ChoiceSlip]:
    return inbox.not_yet(ChoiceSlip, {row.choice_id for row in rows})


def _entry(name: str, row: ChoiceRow, told: str, *, in_force: bool) -> str:
    texts = [_rule_text(row.rule), row.note]
    body = "".join(f"<p>{escaped(text, LONGEST_NOTE)}</p>" for text in texts if text)
    kind = "ms-choice" if in_force else "ms-choice ms-superseded"
    head = f"<b>{escaped(name)}</b> {escaped(one_line(row.who))} · {escaped(minute(row.made_at))}"
    return f'<div class="{kind}"><div>{head} <i>{escaped(told)}</i></div>{body}</div>'


def _choose(pick: Pick, current: ChoiceRow | None, opening: Opening, rule: str, note: str) -> None:
    try:
        readers.require_editor()
        digest = keep_evidence(store_path(), evidence(pick, opening))
        inbox.send(
            ChoiceSlip(
                study_id=pick.frame.study.study_id,
                checkpoint_id=pick.checkpoint.checkpoint_id,
                rule=json.dumps(rule, ensure_ascii=False),
                store_revision=shown_state()[1],
                evidence_sha256=digest,
                who=pick.who,
                note=note,
                made_at=datetime.now(UTC),
                supersedes=None if current is None else current.choice_id,
            )
        )
    except MergescopeError as error:
        st.html(markup.alert(error.line()))
        return
    st.rerun()


def evidence(pick: Pick, opening: Opening) -> dict[str, Any]:
    """What a choice of this point rests on: numbers of both splits, what was read, and what was opened before."""
    mine = pick.frame.study.study_id
    before = [one for one in openings(store_path()) if one.study_id == mine and one.at < opening.at]
    return {
        "format": EVIDENCE,
        "study_id": mine,
        "checkpoint_id": pick.checkpoint.checkpoint_id,
        "judge_id": pick.frame.judge.judge_id,
        "store_revision": shown_state()[1],
        "select": pick.numbers("select"),
        "confirm": pick.numbers("confirm"),
        "confirm_opened_at": opening.at.isoformat(),
        "confirm_opened_before": [{"checkpoint_id": one.checkpoint_id, "at": one.at.isoformat()} for one in before],
        "read": checklist.record(pick),
    }


def _rule(frame: Frame) -> str:
    """The rule that the pages recommend by; empty where the study has no metric to choose by."""
    mine = picks.rule_of(frame)
    return "" if mine is None else mine.rule.text


def _rule_text(rule: str) -> str:
    try:
        value = json.loads(rule)
    except ValueError:
        return rule
    return value if isinstance(value, str) else rule
