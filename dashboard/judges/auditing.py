"""The blind audit: sampled answers, one at a time, without whose they are and what a judge says."""

from __future__ import annotations

import streamlit as st

from dashboard.page import markup, state
from dashboard.page.frame import Frame
from dashboard.page.inert import escaped
from dashboard.page.steps import neighbours
from dashboard.people import rater, rating
from dashboard.people.rating import Rated
from dashboard.store import answers
from dashboard.store.source import ask
from eval import audit
from eval.audit import Population, Sampled
from eval.interchange.sharing import TOXIC
from eval.people import in_force
from eval.rows import VerdictRow
from eval.subsample import share_of

SIZES = ("30", "60", "120", "300")
SEEDS = tuple(map(str, range(1, 10)))


def draw(frame: Frame) -> None:
    """Draw the audit: how many and which sample, then the answer that is next."""
    word = frame.words
    with st.container(key="filters", horizontal=True, vertical_alignment="center", gap="small"):
        n = state.select("n", word("audit.n"), SIZES, "60")
        seed = state.select("sample", word("audit.seed"), SEEDS, "1")
        who = rater.who(word, "rating.by")
    some = audit.sample(_population(frame, int(seed)), int(n))
    if not some:
        st.html(markup.note(word("audit.nothing")))
        return
    rows = rating.said(frame.study.study_id)
    done = _done(some, rows, who)
    st.html(markup.note(word("audit.about", done=sum(done), total=len(some))))
    number = _number(done)
    _one(frame, some, number, done)
    one = some[number]
    rated = Rated(one.prompt_id, one.text_id, "", one.p_selected)
    st.html(markup.note(word("rating.keys") if who else word("rating.by_missing")))
    rating.buttons(word, one.kind, [rated], rows, who, blind=True, seen_judge=False, key="audit_rating")


def _population(frame: Frame, seed: int) -> Population:
    study = frame.study.study_id
    share = ask(share_of, study)
    given = ask(audit.read_answers, study, seed, share)
    return audit.put_together(share, given, ask(audit.read_verdicts, study, frame.judge.judge_id, seed, share))


def _done(some: list[Sampled], rows: list[VerdictRow], who: str) -> list[bool]:
    """Of each answer, whether this rater has said anything of it without seeing a judge."""
    own = {(row.prompt_id, row.text_id) for row in in_force(rows) if row.rater == who and not row.seen_judge}
    return [(one.prompt_id, one.text_id) in own for one in some]


def _number(done: list[bool]) -> int:
    """The answer that is open, from 0: as the address says, else the first that is not judged."""
    told = state.recall("nr")
    if told.isdecimal() and 1 <= int(told) <= len(done):
        return int(told) - 1
    number = done.index(False) if False in done else 0
    state.remember("nr", str(number + 1))  # else the first word on it would turn the page
    return number


def _one(frame: Frame, some: list[Sampled], number: int, done: list[bool]) -> None:
    word, one = frame.words, some[number]
    messages, text = ask(audit.shown, [(one.prompt_id, one.text_id)])[one.prompt_id, one.text_id]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        place = word("compare.place", index=number + 1, total=len(some))
        st.html(markup.note(f"{word(f'kind.{one.kind}')} › {place}"))
        neighbours(word, "nr", number, len(some), lambda n: str(n + 1), "audit_", keys=True)
        if False in done:
            left = done.index(False, number + 1) if False in done[number + 1 :] else done.index(False)
            st.button(
                word("audit.open"),
                key="audit_open",
                type="tertiary",
                shortcut="n",
                on_click=state.remember,
                args=("nr", str(left + 1)),
            )
    st.html(f'<div class="ms-prompt">{escaped(answers.last_user_message(messages), 4000)}</div>')
    st.html(_card(frame, one, text))


def _card(frame: Frame, one: Sampled, text: str) -> str:
    blurred = one.kind in TOXIC
    box = markup.reveal_box(one.text_id, frame.words("compare.reveal")) if blurred else ""
    return (
        f'<article class="ms-card"><header><b>{escaped(frame.words("audit.answer"))}</b></header>'
        f'{box}<div class="ms-answer{markup.BLUR if blurred else ""}">{escaped(text)}</div></article>'
    )
