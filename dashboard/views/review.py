"""The Review page: made pairs, one at a time, to be approved, edited or dropped.

The toxic side is shown for one pair, after a click, until the next one. It is taken from the quarantine for that very
run of the page: it is kept in no state and no cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from dashboard.page import markup, state
from dashboard.page.frame import words
from dashboard.page.inert import escaped, one_line
from dashboard.page.language import Words
from dashboard.page.sheets import Column, SheetCell, SheetRow, sheet
from dashboard.people import rater, readers, reveals
from dashboard.review.filing import Row, around, following, rows_of, studies_with_pairs
from dashboard.store.place import store_path
from mergescope.ground.errors import MergescopeError
from trainer.pairs.pair import KINDS
from trainer.pairs.review import STATUSES, Action
from trainer.quarantine import PurgedError, Quarantine

TONES = {"pending": "unscored", "approved": "answered", "dropped": "refused"}
"""Colours of verdicts that stand for a status."""
_ERROR, _EDITING, _VERIFIED = "review_error", "review_editing", "review_verified"
_TRAIL, _BACK, _TRAIL_OF = "review_trail", "review_back", "review_trail_of"
"""Addresses of the pairs that were left, the last one last; that of the pair that was gone back to; their study."""
TRAIL = 100
"""Pairs that one can go back."""


def page() -> None:
    """Draw the page."""
    word = words()
    studies = studies_with_pairs(store_path())
    if not studies:
        _empty(word)
        return
    try:
        _review(word, studies)
    except MergescopeError as error:
        st.html(markup.alert(error.line()))


def _review(word: Words, studies: dict[str, Path]) -> None:
    names = list(studies)
    with st.container(key="filters", horizontal=True, vertical_alignment="center", gap="small"):
        study = names[0]
        if len(names) > 1:
            study = state.select("study", word("header.study"), names, names[0])
        _keep_trail_of(study)
        rows = rows_of(studies[study])
        found = _filtered(word, rows)
        who = rater.who(word, "review.by")
    counts = Counter(row.reviewed.status for row in rows)
    told = word("review.counts", **{status: f"{counts[status]:,}" for status in STATUSES})
    st.html(markup.note(f"{study}: {told}"))
    left, right = st.columns([1, 1.6], gap="medium")
    if not found:
        left.html(markup.note(word("review.none")))
        with left:
            _back_button(word)
        return
    with left:
        row = _list(word, found)
    with right:
        _pair(word, row, following(found, row), who, studies[study])


def _empty(word: Words) -> None:
    command = "mergescope data make RECIPE\nmergescope data selfalign RECIPE"
    st.html(f'<div class="ms-notice"><p>{escaped(word("review.empty"))}</p><pre>{escaped(command)}</pre></div>')


def _filtered(word: Words, rows: Sequence[Row]) -> list[Row]:
    sets = list(dict.fromkeys(row.pairs.name for row in rows))
    every = word("review.all")
    name = state.select("pairs", word("review.set"), ["", *sets], "", lambda s: s or every)
    kind = state.select("pair_kind", word("review.kind"), ["", *KINDS], "", lambda k: word(f"kind.{k}") if k else every)

    def shown(status: str) -> str:
        return every if status == "all" else _status(word, status)

    status = state.select("status", word("review.status"), [*STATUSES, "all"], "pending", shown)
    return [
        row
        for row in rows
        if row.address == st.session_state.get(_BACK)  # whatever was decided about it meanwhile
        or (
            name in ("", row.pairs.name)
            and kind in ("", row.reviewed.pair.kind)
            and status in ("all", row.reviewed.status)
        )
    ]


def _list(word: Words, found: Sequence[Row]) -> Row:
    """The pairs that pass the filters; returns the one that is open."""
    by_address = {row.address: row for row in found}
    selected = by_address[state.one_of("pair", list(by_address), next(iter(by_address)))]
    lines = [
        SheetRow(
            row.address,
            (
                SheetCell(one_line(row.reviewed.prompt), hint=one_line(row.reviewed.prompt, 300)),
                SheetCell(_status(word, row.reviewed.status), TONES[row.reviewed.status]),
            ),
        )
        for row in around(found, selected)
    ]
    columns = [Column(word("review.prompt")), Column(word("review.status"), "6rem")]
    sheet(
        "pairs",
        word("review.list"),
        columns,
        lines,
        selected=selected.address,
        height="38rem",
        keys=True,
        on_pick=lambda address: _leave(selected.address, address),
    )
    st.html(markup.note(word("review.keys")))
    return selected


def _leave(address: str, after: str) -> None:
    """Open another pair; this one can be gone back to."""
    if after != address:
        trail = _trail()
        if trail[-1:] != [address]:  # a held key leaves a pair more than once
            trail = [*trail, address]
        st.session_state[_TRAIL] = trail[-TRAIL:]
        st.session_state.pop(_BACK, None)
    _open(after)


def _go_back() -> None:
    *trail, address = _trail()
    st.session_state[_TRAIL], st.session_state[_BACK] = trail, address
    _open(address)


def _back_button(word: Words) -> None:
    st.button(word("review.back"), key="back", shortcut="b", on_click=_go_back, disabled=not _trail())


def _keep_trail_of(study: str) -> None:
    """Forget the trail of another study: pairs of both may have one name."""
    if st.session_state.get(_TRAIL_OF) != study:
        st.session_state[_TRAIL_OF], st.session_state[_TRAIL] = study, []
        st.session_state.pop(_BACK, None)


def _trail() -> list[str]:
    trail: list[str] = st.session_state.get(_TRAIL, [])
    return trail


def _open(address: str) -> None:
    state.remember("pair", address)
    st.session_state.pop(_EDITING, None)


def _pair(word: Words, row: Row, after: str, who: str, study_folder: Path) -> None:
    one, pair = row.reviewed, row.reviewed.pair
    category = " › ".join(filter(None, pair.meta.values()))
    head = [
        markup.chip(_status(word, one.status), TONES[one.status]),
        f"<span>{escaped(word(f'kind.{pair.kind}'))} · {escaped(category, 300)}</span>",
    ]
    st.html(f'<div class="ms-note">{" ".join(head)}</div>')
    if st.session_state.get(_EDITING) == row.address:
        _edit(word, row, who)
        return
    st.html(f'<div class="ms-prompt">{escaped(one.prompt)}</div>')
    st.html(
        f'<article class="ms-card"><header><b>{escaped(word("review.chosen"))}</b></header>'
        f'<div class="ms-answer">{escaped(one.chosen)}</div></article>'
    )
    _actions(word, row, after, who)
    _rejected(word, row, study_folder)
    st.html(markup.note(_origin(word, row)))


def _actions(word: Words, row: Row, after: str, who: str) -> None:
    """Buttons, each with its key."""
    one = row.reviewed
    if one.pair.informs:
        st.html(markup.note(word("review.informs"), "plain"))
    if not who and readers.reader().may_edit:
        st.html(markup.note(word("review.by_missing"), "plain"))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        verified = st.session_state.get(_VERIFIED) == (row.address, one.version)
        box = "☑" if verified else "☐"
        st.button(
            f"{box} {word('review.facts')}",
            key="facts",
            shortcut="f",
            on_click=_tick,
            args=(None if verified else (row.address, one.version),),
        )
        st.button(
            word("review.approve"),
            key="approve",
            type="primary",
            shortcut="a",
            disabled=not who or (one.pair.informs and not verified),
            on_click=_decide,
            args=(row, "approve", after, who, verified),
        )
        st.button(word("review.edit"), key="edit", shortcut="e", on_click=_start_editing, args=(row.address,))
        st.button(
            word("review.drop"),
            key="drop",
            shortcut="d",
            disabled=not who,
            on_click=_decide,
            args=(row, "drop", after, who, False),
        )
        st.button(
            word("review.skip"),
            key="skip",
            shortcut="s",
            on_click=_leave,
            args=(row.address, after),
            disabled=not after,
        )
        _back_button(word)
    if told := st.session_state.pop(_ERROR, None):
        st.html(markup.alert(told))


def _tick(verified: tuple[str, str] | None) -> None:
    """verified: pair and version of its texts; of any other the facts are not verified."""
    st.session_state[_VERIFIED] = verified


def _decide(row: Row, action: Action, after: str, who: str, verified: bool) -> None:
    if _kept(row, action, who, None, None, verified):
        _leave(row.address, after)


def _kept(row: Row, action: Action, who: str, prompt: str | None, chosen: str | None, verified: bool) -> bool:
    """Whether the decision was kept; why not is told on the page."""
    one = row.reviewed
    try:
        readers.require_editor()
        row.pairs.review(one.pair.pair_id, action, who, datetime.now(UTC), prompt, chosen, verified, one.version)
    except MergescopeError as error:
        st.session_state[_ERROR] = error.line()
        return False
    return True


def _start_editing(address: str) -> None:
    st.session_state[_EDITING] = address


def _edit(word: Words, row: Row, who: str) -> None:
    one = row.reviewed
    prompt = st.text_area(word("review.prompt"), one.prompt, key=f"edit_prompt:{one.version}", height=100)
    chosen = st.text_area(word("review.chosen"), one.chosen, key=f"edit_chosen:{one.version}", height=260)
    st.html(markup.note(word("review.saved_pending")))
    with st.container(horizontal=True, gap="small"):
        if st.button(word("review.save"), key="save", type="primary", disabled=not who):
            kept = (prompt, chosen) == (one.prompt, one.chosen) or _kept(row, "edit", who, prompt, chosen, False)
            if kept:
                _open(row.address)
                st.rerun()
        st.button(word("review.cancel"), key="cancel", on_click=_open, args=(row.address,))
    if told := st.session_state.pop(_ERROR, None):
        st.html(markup.alert(told))


def _rejected(word: Words, row: Row, study_folder: Path) -> None:
    """The toxic side, in the very run that a click asks for it and in no other."""
    ref = row.reviewed.pair.rejected
    st.html(markup.note(word("review.rejected", length=f"{ref.length:,}", category=one_line(ref.category))))
    if not st.button(word("review.show"), key=f"show:{row.address}", type="tertiary", shortcut="t"):
        return
    try:
        text = Quarantine(study_folder).get(ref.sha256)
    except PurgedError:
        st.html(markup.alert(word("review.purged")))
        return
    reveals.note("review", ref.sha256)
    st.html(
        f'<article class="ms-card ms-toxic"><header><b>{escaped(word("review.shown"))}</b></header>'
        f'<div class="ms-answer">{escaped(text)}</div></article>'
    )
    st.button(word("review.hide"), key="hide", type="tertiary")


def _origin(word: Words, row: Row) -> str:
    one, pair = row.reviewed, row.reviewed.pair
    made = {"made_by": pair.made_by or "?", "source": pair.source or "?", "licence": pair.licence or "?"}
    text = word("review.made", **made)
    if one.who is None or one.at is None:
        return text
    return f"{word('review.decided', status=_status(word, one.status), who=one.who, at=one.at[:16])} · {text}"


def _status(word: Words, status: str) -> str:
    return word(f"status.{status}")


page()
